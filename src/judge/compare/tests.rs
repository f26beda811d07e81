use super::*;
use proptest::prelude::*;
use serde::Deserialize;

#[derive(Deserialize)]
struct Case {
    id: String,
    conf_level: f64,
    control: Vec<f64>,
    experiment: Vec<f64>,
    r: Answer,
}

#[derive(Deserialize)]
struct Answer {
    statistic: f64,
    p_value: Option<f64>,
    p_exact: Option<f64>,
    lower: Option<f64>,
    upper: Option<f64>,
    estimate: Option<f64>,
}

fn cases() -> Vec<Case> {
    include_str!("../../../tests/golden/judge/wilcoxon.jsonl")
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn near(ours: f64, theirs: f64) -> bool {
    (ours - theirs).abs() <= (1e-9 * theirs.abs()).max(1e-12)
}

#[test]
fn every_number_is_the_one_r_gives() {
    let cases = cases();
    assert!(cases.len() > 300);
    let mut wrong = Vec::new();
    for case in &cases {
        let ours = compare(&case.experiment, &case.control, case.conf_level).unwrap();
        let mut hold = |what: &str, holds: bool| {
            if !holds {
                wrong.push(format!("{}: {what}", case.id));
            }
        };
        hold("statistic", ours.statistic == case.r.statistic);
        hold(
            "p",
            match (ours.p_value, case.r.p_value) {
                (Some(ours), Some(theirs)) => (ours - theirs).abs() <= 1e-10,
                (ours, theirs) => ours.is_none() && theirs.is_none(),
            },
        );
        hold(
            "exact p",
            match (ours.p_exact, case.r.p_exact) {
                (Some(ours), Some(theirs)) => (ours - theirs).abs() <= 1e-10,
                (ours, theirs) => ours.is_none() && theirs.is_none(),
            },
        );
        if let (Some(lower), Some(upper), Some(estimate)) = (case.r.lower, case.r.upper, case.r.estimate) {
            hold(&format!("lower {} {lower}", ours.lower), near(ours.lower, lower));
            hold(&format!("upper {} {upper}", ours.upper), near(ours.upper, upper));
            // R may stop anywhere on the plateau between the two middle differences; ours is its middle.
            let differences = Differences::of(&case.experiment, &case.control);
            let n = differences.sorted.len();
            let (low, high) = (differences.sorted[(n - 1) / 2], differences.sorted[n / 2]);
            let slack = (1e-9 * estimate.abs()).max(1e-12);
            hold("our estimate", (low..=high).contains(&ours.estimate));
            hold("R's estimate", low - slack <= estimate && estimate <= high + slack);
        }
    }
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn four_against_four_reach_no_98_percent_bound() {
    let ours = compare(&[11.0, 12.0, 13.0, 14.0], &[1.0, 2.0, 3.0, 4.0], 0.98).unwrap();
    assert_eq!((ours.lower, ours.lower_reached, ours.upper_reached), (7.0, false, false));
    let five: Vec<f64> = (1..=5).map(f64::from).collect();
    let shifted: Vec<f64> = five.iter().map(|value| value + 10.0).collect();
    assert!(compare(&shifted, &five, 0.98).unwrap().lower_reached);
}

#[test]
fn what_cannot_be_compared_is_said() {
    assert_eq!(compare(&[], &[1.0], 0.98), Err(CompareError::Empty("experiment")));
    assert_eq!(compare(&[1.0], &[f64::NAN], 0.98), Err(CompareError::NotFinite("control")));
    assert_eq!(compare(&[1.0], &[1.0], 1.0), Err(CompareError::Level(1.0)));
}

proptest! {
    #[test]
    fn swapping_the_arms_mirrors_the_comparison(
        x in prop::collection::vec(-1e3..1e3_f64, 2..30),
        y in prop::collection::vec(-1e3..1e3_f64, 2..30),
    ) {
        let (ours, mirrored) = (compare(&x, &y, 0.95).unwrap(), compare(&y, &x, 0.95).unwrap());
        prop_assert!(near(ours.lower, -mirrored.upper));
        prop_assert!(near(ours.upper, -mirrored.lower));
        prop_assert!((ours.p_value.unwrap() - mirrored.p_value.unwrap()).abs() < 1e-12);
        prop_assert!(ours.lower <= ours.estimate && ours.estimate <= ours.upper);
    }

    #[test]
    fn no_samples_make_it_panic(
        x in prop::collection::vec(any::<f64>(), 0..8),
        y in prop::collection::vec(any::<f64>(), 0..8),
        level in any::<f64>(),
    ) {
        let _ = compare(&x, &y, level);
    }
}
