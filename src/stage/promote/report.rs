//! The report page: one HTML file without scripts or external resources.

use askama::Template;
use time::OffsetDateTime;
use time::macros::format_description;

use crate::evidence::predicate::{Decision, DecisionAction, Promotion, PromotionOutcome};
use crate::judge::Look;
use crate::judge::verdict::{Evidence, StreamRecord};

/// The path of the page in the artifact.
pub const PAGE: &str = crate::evidence::layout::PROMOTE_PAGE;

const LEFT: f64 = 56.0;
const RIGHT: f64 = 606.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = 184.0;

#[derive(Template)]
#[template(path = "promotion.html")]
struct Page<'a> {
    record: &'a Promotion,
    image: &'a str,
    outcome: &'static str,
    outcome_class: &'static str,
    began: String,
    ended: String,
    rows: Vec<Row>,
    sections: Vec<Section>,
}

struct Row {
    at: String,
    share: String,
    what: &'static str,
    why: String,
}

struct Section {
    title: String,
    note: String,
    charts: Vec<Chart>,
}

#[derive(Debug, Default)]
struct Chart {
    title: String,
    /// The chart in words.
    caption: String,
    lines: Vec<Line>,
    limit: Option<Tick>,
    across: Vec<Tick>,
    down: Vec<Tick>,
}

#[derive(Debug)]
struct Line {
    name: String,
    class: &'static str,
    points: String,
}

#[derive(Debug)]
struct Tick {
    at: f64,
    label: String,
}

/// The page of a promotion, with every result of the judge, if two sides were compared.
///
/// # Errors
/// The template could not be rendered.
pub fn page(record: &Promotion, image: &str, looks: &[Look]) -> Result<String, askama::Error> {
    let (outcome, outcome_class) = match record.outcome {
        PromotionOutcome::Promoted => ("promoted", "promoted"),
        PromotionOutcome::RolledBack => ("rolled back", "rolled_back"),
        PromotionOutcome::Indeterminate => ("indeterminate", "indeterminate"),
    };
    let mut sections = comparison(looks);
    sections.extend(units(record));
    let (began, ended) = (moment(record.started_on), moment(record.finished_on));
    Page { record, image, outcome, outcome_class, began, ended, rows: rows(record), sections }.render()
}

fn moment(at: OffsetDateTime) -> String {
    at.format(format_description!("[year]-[month]-[day] [hour]:[minute]:[second]")).unwrap_or_default()
}

fn rows(record: &Promotion) -> Vec<Row> {
    let mut rows = vec![Row {
        at: moment(record.started_on),
        share: "0 %".to_owned(),
        what: "began.",
        why: "The checks below were made first.".to_owned(),
    }];
    if let Some(canary) = &record.canary {
        rows.push(Row {
            at: moment(canary.finished_on),
            share: format!("{} as canary", canary.size),
            what: canary.verdict.name(),
            why: format!(
                "new image compared with the old one since {}. {}{}{}",
                moment(canary.started_on),
                canary.reasons.join("; "),
                canary.kayenta.as_ref().map_or(String::new(), |kayenta| {
                    format!(
                        " Kayenta, which decides nothing, gives it {} ({}).",
                        kayenta.score, kayenta.classification
                    )
                }),
                if canary.recording_matches {
                    ""
                } else {
                    " CloudWatch returns other numbers now than when the judge decided."
                }
            ),
        });
    }
    rows.extend(record.decisions.iter().map(|decision| Row {
        at: moment(decision.decided_on),
        share: match decision.wave {
            Some(wave) => format!("wave {wave}: {} % of groups", decision.percent),
            None => format!("{} %", decision.percent),
        },
        what: match decision.action {
            DecisionAction::Continue => "continue",
            DecisionAction::Wait => "wait",
            DecisionAction::RollBack => "roll back",
        },
        why: decision.reason.clone(),
    }));
    rows.push(Row {
        at: moment(record.finished_on),
        share: String::new(),
        what: "ended.",
        why: record.reason.clone(),
    });
    rows
}

/// The charts of the comparison: for each stream of counts its rate on both sides, and the evidence of harm.
fn comparison(looks: &[Look]) -> Vec<Section> {
    let Some(last) = looks.last() else { return Vec::new() };
    let minutes: Vec<f64> = looks.iter().map(|look| look.minute).collect();
    let metrics = last.metrics.iter().enumerate().filter_map(|(at, metric)| {
        let Evidence::Counts { ln_threshold_harm, ln_threshold_safe, streams, .. } = &metric.evidence else {
            return None;
        };
        let mut charts: Vec<Chart> =
            (0..streams.len()).map(|stream| rates(looks, &minutes, at, stream)).collect();
        charts.push(evidence(
            looks,
            &minutes,
            at,
            "Evidence of harm",
            *ln_threshold_harm,
            "rolls back",
            harm,
        ));
        charts.push(evidence(looks, &minutes, at, "Evidence of no harm", *ln_threshold_safe, "passes", safe));
        Some(Section {
            title: format!("{}: {}", metric.name, metric.verdict.name()),
            note: metric.reason.clone().unwrap_or_else(|| "there is evidence of no harm".to_owned()),
            charts,
        })
    });
    metrics.collect()
}

fn harm(evidence: &Evidence) -> f64 {
    match evidence {
        Evidence::Counts { ln_e_harm, .. } => *ln_e_harm,
        Evidence::Gauge { .. } => 0.0,
    }
}

fn safe(evidence: &Evidence) -> f64 {
    match evidence {
        Evidence::Counts { ln_e_safe, .. } => *ln_e_safe,
        Evidence::Gauge { .. } => 0.0,
    }
}

fn stream(look: &Look, metric: usize, stream: usize) -> Option<&StreamRecord> {
    match &look.metrics.get(metric)?.evidence {
        Evidence::Counts { streams, .. } => streams.get(stream),
        Evidence::Gauge { .. } => None,
    }
}

fn rates(looks: &[Look], minutes: &[f64], metric: usize, at: usize) -> Chart {
    let percent = |events: f64, requests: f64| if requests > 0.0 { 100.0 * events / requests } else { 0.0 };
    let (mut canary, mut baseline) = (Vec::new(), Vec::new());
    for look in looks {
        let Some(found) = stream(look, metric, at) else { continue };
        canary.push(percent(found.total.canary_events, found.total.canary_requests));
        baseline.push(percent(found.total.control_events, found.total.control_requests));
    }
    let last = looks.last().and_then(|look| stream(look, metric, at));
    let of = last.and_then(|found| found.threshold).map_or(String::new(), |above| format!(" above {above}"));
    let caption = last.map_or(String::new(), |found| {
        format!(
            "{:.0} of {:.0} requests beside {:.0} of {:.0}; ratio {}",
            found.total.canary_events,
            found.total.canary_requests,
            found.total.control_events,
            found.total.control_requests,
            found.ratio.map_or("unknown".to_owned(), |ratio| format!("{ratio:.2}")),
        )
    });
    chart(
        format!("Share of requests{of}, since the start, in %"),
        caption,
        minutes,
        &[("canary", "canary", canary), ("baseline", "baseline", baseline)],
        None,
    )
}

fn evidence(
    looks: &[Look],
    minutes: &[f64],
    metric: usize,
    title: &str,
    ln_threshold: f64,
    does: &str,
    of: fn(&Evidence) -> f64,
) -> Chart {
    let tens = |ln: f64| ln / std::f64::consts::LN_10;
    let values: Vec<f64> = looks
        .iter()
        .filter_map(|look| look.metrics.get(metric))
        .map(|found| tens(of(&found.evidence)))
        .collect();
    let caption = format!(
        "is now {}; {} {does}",
        power(values.last().copied().unwrap_or(0.0)),
        power(tens(ln_threshold))
    );
    let limit = Some((tens(ln_threshold), format!("E = {}", power(tens(ln_threshold)))));
    chart(format!("{title}: E, in powers of ten"), caption, minutes, &[("E", "canary", values)], limit)
}

/// Ten to a power, as a person reads it.
fn power(tens: f64) -> String {
    if !(-3.0..6.0).contains(&tens) {
        return format!("10^{tens:.0}");
    }
    let value = 10f64.powf(tens);
    // Three significant digits; none after the point for a whole number.
    let places = match value {
        ..1.0 => 3,
        1.0..9.995 => 2,
        9.995..99.95 => 1,
        _ => 0,
    };
    let text = format!("{value:.places$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// The share of units or traffic on the new image, at each decision.
fn units(record: &Promotion) -> Option<Section> {
    // A decision on a wave is about the percentage of groups, not of units.
    let decisions: Vec<&Decision> = record.decisions.iter().filter(|d| d.wave.is_none()).collect();
    if decisions.is_empty() {
        return None;
    }
    let since = |at: OffsetDateTime| (at - record.started_on).as_seconds_f64() / 60.0;
    let (mut minutes, mut share) = (vec![0.0], vec![0.0]);
    // In steps: between two polls nothing is known.
    for decision in decisions {
        let before = share.last().copied().unwrap_or(0.0);
        minutes.extend([since(decision.decided_on); 2]);
        share.extend([before, f64::from(decision.percent)]);
    }
    if let Some(units) = record.units.filter(|units| units.total > 0 && record.waves.is_empty()) {
        minutes.push(since(record.finished_on));
        share.push(100.0 * f64::from(units.updated) / f64::from(units.total));
    }
    let old = share.iter().map(|share| 100.0 - share).collect();
    let lines = [("new image", "canary", share), ("old image", "baseline", old)];
    // Without an instance refresh no instance was replaced: the shares are those of the traffic.
    let refresh = record.change.as_ref().and_then(|change| change.auto_scaling_group.as_ref());
    let title = match refresh.and_then(|change| change.instance_refresh_id.as_ref()) {
        Some(_) => "Instances by image, in % of the fleet",
        None => "Traffic by image, in %",
    };
    let chart =
        chart(title.to_owned(), "at each decision, and at the end".to_owned(), &minutes, &lines, None);
    Some(Section { title: "Rollout".to_owned(), note: String::new(), charts: vec![chart] })
}

fn chart(
    title: String,
    caption: String,
    minutes: &[f64],
    lines: &[(&str, &'static str, Vec<f64>)],
    limit: Option<(f64, String)>,
) -> Chart {
    let values =
        lines.iter().flat_map(|(_, _, values)| values).copied().chain(limit.iter().map(|(at, _)| *at));
    let (mut low, mut high) =
        values.filter(|v| v.is_finite()).fold((0.0f64, 0.0f64), |(l, h), v| (l.min(v), h.max(v)));
    if high - low < 1e-9 {
        high = low + 1.0;
    }
    let room = (high - low) * 0.05;
    high += room;
    if low < 0.0 {
        low -= room;
    }
    let longest = minutes.iter().copied().fold(1e-9, f64::max);
    let x = |minute: f64| round(LEFT + (RIGHT - LEFT) * minute / longest);
    let y = |value: f64| round(BOTTOM - (BOTTOM - TOP) * (value - low) / (high - low));
    let points = |values: &[f64]| {
        let each = minutes.iter().zip(values).map(|(minute, value)| format!("{},{}", x(*minute), y(*value)));
        each.collect::<Vec<_>>().join(" ")
    };
    Chart {
        title,
        caption,
        lines: lines
            .iter()
            .map(|(name, class, values)| Line { name: (*name).to_owned(), class, points: points(values) })
            .collect(),
        limit: limit.map(|(at, label)| Tick { at: y(at), label }),
        across: ticks(0.0, longest, 5)
            .into_iter()
            .map(|(minute, label)| Tick { at: x(minute), label: format!("{label} min") })
            .collect(),
        down: ticks(low, high, 3).into_iter().map(|(value, label)| Tick { at: y(value), label }).collect(),
    }
}

/// Round numbers between two others, at most one more than `wanted`, with their labels.
fn ticks(low: f64, high: f64, wanted: u8) -> Vec<(f64, String)> {
    let least = (high - low) / f64::from(wanted.max(1));
    let unit = 10f64.powf(least.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0]
        .map(|round| round * unit)
        .into_iter()
        .find(|step| *step >= least * (1.0 - 1e-9));
    let (Some(step), true) = (step, least.is_finite() && least > 0.0) else { return Vec::new() };
    // A step below one needs as many places as its unit has.
    let places = (0..12).find(|places| step * 10f64.powi(*places) > 1.0 - 1e-9).unwrap_or(12);
    let places = usize::try_from(places).unwrap_or(0);
    let first = (low / step - 1e-9).ceil();
    (0..=wanted)
        .map(|at| (first + f64::from(at)) * step)
        .take_while(|value| *value <= high + 1e-9 * step)
        // Without this a zero may be written as -0.
        .map(|value| (value, format!("{:.places$}", value + 0.0)))
        .collect()
}

/// Rounds to a tenth of a pixel, so that the page is the same on every machine.
fn round(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::{power, ticks};

    #[test]
    fn axes_have_round_numbers() {
        let labels = |low, high, wanted| {
            ticks(low, high, wanted).into_iter().map(|(_, label)| label).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(labels(0.0, 105.0, 3), "0 50 100");
        assert_eq!(labels(0.0, 44.2, 5), "0 10 20 30 40");
        assert_eq!(labels(0.0, 1.05, 3), "0.0 0.5 1.0");
        assert_eq!(labels(-0.31, 2.1, 3), "0 1 2");
        assert_eq!(labels(0.0, 0.0042, 3), "0.000 0.002 0.004");
        assert_eq!(labels(0.0, 0.0, 3), "", "no room");
        assert_eq!(labels(0.0, f64::INFINITY, 3), "");
    }

    #[test]
    fn evidence_has_three_digits() {
        let cases = [
            (0.0, "1"),
            (2.0, "100"),
            (1.0, "10"),
            (0.301, "2"),
            (1.3979, "25"),
            (3.3711, "2350"),
            (-1.301, "0.05"),
        ];
        for (tens, expected) in cases {
            assert_eq!(power(tens), expected, "10^{tens}");
        }
        assert_eq!((power(-7.2), power(44.6)), ("10^-7".to_owned(), "10^45".to_owned()));
    }
}
