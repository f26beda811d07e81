//! Slices of a machine that counts.

use std::sync::atomic::{AtomicI64, Ordering};

use super::*;
use crate::aws::Class;

/// Counts from zero to `to`; the script says what happens at each step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Counter {
    at: u32,
    unwinding: Option<Failure>,
}

#[derive(Clone, Copy)]
enum Event {
    Nothing,
    Wait,
    Transient,
    Fatal,
}

struct Script {
    to: u32,
    event: fn(u32) -> Event,
    while_unwinding: fn() -> Event,
}

impl Machine for Counter {
    type Inputs = Script;
    type Context = ();

    fn start(_: &Script) -> Self {
        Self { at: 0, unwinding: None }
    }

    fn timeout(_: &Script) -> Duration {
        Duration::from_mins(10)
    }

    fn unwind(self, reason: Failure) -> Self {
        if self.at == 0 || self.unwinding.is_some() { self } else { Self { unwinding: Some(reason), ..self } }
    }

    fn is_unwinding(&self) -> bool {
        self.unwinding.is_some()
    }

    async fn step(self, script: &Script, (): &()) -> Result<Step<Self>, StageError> {
        let event =
            if self.unwinding.is_some() { (script.while_unwinding)() } else { (script.event)(self.at) };
        match event {
            Event::Transient => return Err(StageError::NotYet("not yet".into())),
            Event::Fatal => return Err(StageError::Rejected("no good".into())),
            Event::Wait | Event::Nothing => {}
        }
        Ok(match (self.at, self.unwinding) {
            (0, Some(reason)) => Step::Done(Outcome::Failed(reason)),
            (at, Some(reason)) => Step::Next(Self { at: at - 1, unwinding: Some(reason) }),
            (at, None) if at == script.to => Step::Done(succeeded()),
            (at, None) => {
                let state = Self { at: at + 1, unwinding: None };
                match event {
                    Event::Wait => {
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

/// Runs slices until the end, each at its `not_before`.
async fn run(script: &Script) -> (Outcome, u32) {
    let now = AtomicI64::new(1_000);
    let mut token = start::<Counter>(script, "a-1", Timestamp(1_000));
    for _ in 0..1_000 {
        // Between two slices the token is text.
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
async fn a_machine_reaches_its_end_over_any_number_of_slices() {
    let forward = || Event::Nothing;
    for (to, event) in [
        (0, (|_| Event::Nothing) as fn(u32) -> Event),
        (5, |_| Event::Nothing),
        (5, |_| Event::Wait),
        (40, |_| Event::Nothing),
        (12, |at| if at % 2 == 0 { Event::Wait } else { Event::Nothing }),
    ] {
        assert_eq!(run(&Script { to, event, while_unwinding: forward }).await.0, succeeded(), "to {to}");
    }
}

#[tokio::test]
async fn a_failed_machine_unwinds_before_it_ends() {
    let script = Script {
        to: 5,
        event: |at| if at == 3 { Event::Fatal } else { Event::Nothing },
        while_unwinding: || Event::Nothing,
    };
    assert_eq!(run(&script).await.0, failed(FailureKind::JobFailed, "no good"));
}

#[tokio::test]
async fn a_machine_in_its_initial_state_fails_without_unwinding() {
    let script = Script { to: 5, event: |_| Event::Fatal, while_unwinding: || panic!("must not unwind") };
    assert_eq!(run(&script).await.0, failed(FailureKind::JobFailed, "no good"));
}

#[tokio::test]
async fn a_failed_unwinding_names_the_tag_of_what_is_left() {
    let script = Script {
        to: 5,
        event: |at| if at == 3 { Event::Fatal } else { Event::Nothing },
        while_unwinding: || Event::Fatal,
    };
    let Outcome::Failed(failure) = run(&script).await.0 else { panic!("must fail") };
    assert!(failure.message.contains("could not remove everything"), "{}", failure.message);
    assert!(failure.message.contains("bakeline:attempt=a-1"), "{}", failure.message);
}

#[tokio::test]
async fn endless_transient_errors_end_at_the_deadline() {
    let script = Script {
        to: 5,
        event: |at| if at == 2 { Event::Transient } else { Event::Nothing },
        while_unwinding: || Event::Nothing,
    };
    let Outcome::Failed(failure) = run(&script).await.0 else { panic!("must fail") };
    assert!(failure.message.contains("by its deadline"), "{}", failure.message);
}

#[tokio::test]
async fn an_endless_unwinding_ends_an_hour_after_the_deadline() {
    let script = Script {
        to: 5,
        event: |at| if at == 2 { Event::Fatal } else { Event::Nothing },
        while_unwinding: || Event::Transient,
    };
    let Outcome::Failed(failure) = run(&script).await.0 else { panic!("must fail") };
    assert_eq!(failure.kind, FailureKind::SystemUnavailable);
    assert!(failure.message.contains("within an hour"), "{}", failure.message);
}

#[test]
fn transient_error_codes() {
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
    fn a_failure_in_a_token_keeps_whole_characters(text in "\\PC{0,900}") {
        let cut = Failure::new(FailureKind::JobFailed, text.clone()).for_token();
        proptest::prop_assert!(cut.message.len() <= 703);
        // Room is counted as JSON writes it, at most two bytes for each of these characters' own.
        proptest::prop_assert!(text.len() > 350 || cut.message == text);
    }
}
