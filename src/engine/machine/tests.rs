//! The rules of a slice, on a machine that only counts.

use std::sync::atomic::{AtomicI64, Ordering};

use super::*;
use crate::aws::Class;

/// Goes from zero to `to`, meeting what the script says at each step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Counter {
    at: u32,
    back: Option<Failure>,
}

#[derive(Clone, Copy)]
enum Meets {
    Nothing,
    Wait,
    Transient,
    Fatal,
}

struct Script {
    to: u32,
    meets: fn(u32) -> Meets,
    on_the_way_back: fn() -> Meets,
}

impl Machine for Counter {
    type Inputs = Script;
    type Context = ();

    fn start(_: &Script) -> Self {
        Self { at: 0, back: None }
    }

    fn timeout(_: &Script) -> Duration {
        Duration::from_mins(10)
    }

    fn unwind(self, why: Failure) -> Self {
        if self.at == 0 || self.back.is_some() { self } else { Self { back: Some(why), ..self } }
    }

    fn is_unwinding(&self) -> bool {
        self.back.is_some()
    }

    async fn step(self, script: &Script, (): &()) -> Result<Step<Self>, StageError> {
        let meets = if self.back.is_some() { (script.on_the_way_back)() } else { (script.meets)(self.at) };
        match meets {
            Meets::Transient => return Err(StageError::NotYet("not yet".into())),
            Meets::Fatal => return Err(StageError::Rejected("no good".into())),
            Meets::Wait | Meets::Nothing => {}
        }
        Ok(match (self.at, self.back) {
            (0, Some(why)) => Step::Done(Outcome::Failed(why)),
            (at, Some(why)) => Step::Next(Self { at: at - 1, back: Some(why) }),
            (at, None) if at == script.to => Step::Done(succeeded()),
            (at, None) => {
                let state = Self { at: at + 1, back: None };
                match meets {
                    Meets::Wait => {
                        Step::Wait { state, again_in: Duration::from_secs(30), progress: Progress::default() }
                    }
                    _ => Step::Next(state),
                }
            }
        })
    }
}

fn succeeded() -> Outcome {
    Outcome::Succeeded { summary: "counted".into(), external_id: None, variables: BTreeMap::new() }
}

/// Slices until the end, each at its `not_before`; also returns how many there were.
async fn run(script: &Script) -> (Outcome, u32) {
    let now = AtomicI64::new(1_000);
    let mut token = begin::<Counter>(script, "a-1", Timestamp(1_000));
    for _ in 0..1_000 {
        // What rests between two slices is text.
        token = Token::decode(&token.encode().unwrap(), "a-1").unwrap();
        match run_slice(token, script, &(), || Timestamp(now.load(Ordering::SeqCst)), 8).await {
            Slice::Done(outcome) => return (outcome, 0),
            Slice::Yield { token: next, .. } => {
                assert!(next.not_before >= Timestamp(now.load(Ordering::SeqCst)));
                now.store(next.not_before.0, Ordering::SeqCst);
                token = next;
            }
        }
    }
    panic!("no end");
}

fn failed(kind: FailureKind, message: &str) -> Outcome {
    Outcome::Failed(Failure::new(kind, message))
}

#[tokio::test]
async fn a_machine_reaches_its_end_whatever_passes() {
    let forward = || Meets::Nothing;
    for (to, meets) in [
        (0, (|_| Meets::Nothing) as fn(u32) -> Meets),
        (5, |_| Meets::Nothing),
        (5, |_| Meets::Wait),
        (40, |_| Meets::Nothing),
        (12, |at| if at % 2 == 0 { Meets::Wait } else { Meets::Nothing }),
    ] {
        assert_eq!(run(&Script { to, meets, on_the_way_back: forward }).await.0, succeeded(), "to {to}");
    }
}

#[tokio::test]
async fn what_was_made_is_undone_before_the_failure_is_told() {
    let script = Script {
        to: 5,
        meets: |at| if at == 3 { Meets::Fatal } else { Meets::Nothing },
        on_the_way_back: || Meets::Nothing,
    };
    assert_eq!(run(&script).await.0, failed(FailureKind::JobFailed, "no good"));
}

#[tokio::test]
async fn nothing_made_is_nothing_to_undo() {
    let script = Script { to: 5, meets: |_| Meets::Fatal, on_the_way_back: || panic!("must not be asked") };
    assert_eq!(run(&script).await.0, failed(FailureKind::JobFailed, "no good"));
}

#[tokio::test]
async fn a_failure_on_the_way_back_says_what_to_look_for() {
    let script = Script {
        to: 5,
        meets: |at| if at == 3 { Meets::Fatal } else { Meets::Nothing },
        on_the_way_back: || Meets::Fatal,
    };
    let Outcome::Failed(failure) = run(&script).await.0 else { panic!("must fail") };
    assert!(failure.message.contains("could not be undone"), "{}", failure.message);
    assert!(failure.message.contains("bakeline:action-execution=a-1"), "{}", failure.message);
}

#[tokio::test]
async fn a_fault_that_does_not_pass_ends_with_the_deadline() {
    let script = Script {
        to: 5,
        meets: |at| if at == 2 { Meets::Transient } else { Meets::Nothing },
        on_the_way_back: || Meets::Nothing,
    };
    let Outcome::Failed(failure) = run(&script).await.0 else { panic!("must fail") };
    assert!(failure.message.contains("by its deadline"), "{}", failure.message);
}

#[tokio::test]
async fn an_unwinding_that_never_ends_is_told_an_hour_after_the_deadline() {
    let script = Script {
        to: 5,
        meets: |at| if at == 2 { Meets::Fatal } else { Meets::Nothing },
        on_the_way_back: || Meets::Transient,
    };
    let Outcome::Failed(failure) = run(&script).await.0 else { panic!("must fail") };
    assert_eq!(failure.kind, FailureKind::SystemUnavailable);
    assert!(failure.message.contains("within an hour"), "{}", failure.message);
}

#[test]
fn a_fault_is_transient_exactly_when_its_class_is() {
    for (code, transient) in [
        ("ThrottlingException", true),
        ("RequestLimitExceeded", true),
        ("InternalFailure", true),
        ("ExpiredTokenException", true),
        ("AccessDeniedException", false),
        ("InvalidAMIID.NotFound", false),
        ("ValidationException", false),
        ("InstanceRefreshInProgress", false),
        ("SomethingNew", false),
    ] {
        assert_eq!(Class::of_code(code).is_transient(), transient, "{code}");
    }
}

proptest::proptest! {
    #[test]
    fn a_reason_for_a_token_fits_and_keeps_whole_characters(text in "\\PC{0,900}") {
        let cut = Failure::new(FailureKind::JobFailed, text.clone()).for_token();
        proptest::prop_assert!(cut.message.len() <= 703);
        // Room is counted as JSON writes it, at most two bytes for each of these characters' own.
        proptest::prop_assert!(text.len() > 350 || cut.message == text);
    }
}
