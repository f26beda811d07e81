//! Request handling: authenticate the caller, apply a fault, call the service, record the call.

use std::borrow::Cow;
use std::io::Read as _;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, Request, Response};
use serde_json::{Map, Value};

use super::super::call::{Answer, ApiError, Call};
use super::super::faults::{self, Fault};
use super::super::ids::Ids;
use super::super::recording::Recording;
use super::super::services::s3;
use super::super::services::sts::{self, Principal};
use super::super::time::Time;
use super::super::transcript::{FaultRecord, Keep, Record, redacted};
use super::super::wire::model::{self, Model};
use super::super::wire::scope::Scope;
use super::super::wire::{self, Protocol, errors, text, validate};
use super::credentials::admit;
use super::{Cloud, Reply, State};

/// The size limit of a decompressed request body.
const LARGEST_INFLATED: u64 = 64 << 20;

/// A call in progress: received, not yet recorded.
struct Visit {
    record: Record,
    request_id: String,
    gate: Gate,
}

/// Whether the call is passed to its service.
enum Gate {
    Pass(Principal),
    Refuse(ApiError),
    Killed,
}

/// The service and operation that a request addresses, from its signature and path.
struct Door<'a> {
    service: &'a str,
    operation: &'a str,
    scope: &'a Scope,
    /// `None` for S3.
    protocol: Option<Protocol>,
    now: Time,
}

impl Cloud {
    /// Handles one HTTP request for the service that its signature names.
    pub async fn handle(&self, request: Request<Bytes>) -> Reply {
        let (parts, body) = request.into_parts();
        let recorded = self.inner.records_wire.load(Ordering::Relaxed);
        let recording = Recording::of_process().filter(|_| recorded);
        let recording = recording.map(|recording| (recording, parts.clone(), body.clone()));
        let now = self.now();
        let reply = match Scope::of(&parts) {
            None => Reply::Answer(unsigned()),
            Some(scope) if scope.service == "s3" => self.s3(&scope, parts, body, now).await,
            Some(scope) => match model::signed_as(&scope.service) {
                Some(model) => self.modelled(model, &scope, &parts, body, now),
                None => Reply::Answer(unknown_service(&scope.service)),
            },
        };
        if let (Some((recording, parts, body)), Reply::Answer(response)) = (recording, &reply) {
            recording.enter(&parts, &body, response);
        }
        if matches!(reply, Reply::Killed) {
            self.inner.kills.send_modify(|kills| *kills += 1);
        }
        reply
    }

    fn modelled(&self, model: &'static Model, scope: &Scope, parts: &Parts, body: Bytes, now: Time) -> Reply {
        let protocol = Protocol::of(model, parts);
        let decoded = inflated(parts, body).and_then(|body| wire::decode(model, protocol, parts, &body));
        let mut state = self.lock();
        let state = &mut *state;
        let operation = decoded.as_ref().map_or("unknown", |((name, _), _)| *name);
        let door = Door { service: model.service, operation, scope, protocol: Some(protocol), now };
        let mut visit = state.arrive(&door);
        let (named, input) = match decoded {
            Ok((named, input)) => (Some(named), Ok(input)),
            Err(refusal) => (None, Err(refusal)),
        };
        if let (Some((_, operation)), Ok(input), Keep::Inputs) = (named, &input, state.transcript.keep) {
            visit.record.input = redacted(model, model.input(operation), &Value::Object(input.clone()));
        }
        let answer = match &visit.gate {
            Gate::Killed => return state.leave(visit, None),
            Gate::Refuse(refusal) => Err(refusal.clone()),
            Gate::Pass(principal) => input.and_then(|input| {
                let Some((_, operation)) = named else { return Ok(Value::Null) };
                validate::check(model, operation, &input, protocol.dialect(model))?;
                let call = call(model, &door, &principal.account, input);
                state.serve(&call, visit.record.fault.as_ref())
            }),
        };
        let refused = answer.as_ref().err().map(|refusal| refusal.code.clone());
        let response = match (named, answer) {
            (Some(named), answer) => wire::encode(model, protocol, named, answer, &visit.request_id),
            (None, Err(refusal)) => errors::encode(model, protocol, &refusal, &visit.request_id),
            (None, Ok(_)) => unknown_service(model.service),
        };
        state.leave(visit, Some((response, refused)))
    }

    async fn s3(&self, scope: &Scope, parts: Parts, body: Bytes, now: Time) -> Reply {
        let target = s3::wire::Target::of(&parts);
        let (mut visit, past) = {
            let mut state = self.lock();
            let door = Door { service: "s3", operation: target.operation, scope, protocol: None, now };
            let visit = state.arrive(&door);
            let reads_past = visit.record.fault.as_ref().is_some_and(FaultRecord::reads_the_past);
            (visit, state.past.get("s3").filter(|_| reads_past).cloned())
        };
        visit.record.input = target.as_input(body.len());
        let response = match &visit.gate {
            Gate::Killed => return self.lock().leave(visit, None),
            Gate::Refuse(refusal) => errors::encode_s3(refusal, &visit.request_id),
            Gate::Pass(principal) => {
                let owner = (principal.account.clone(), scope.region.clone());
                let view = match past {
                    Some(past) => s3::View::Past(Arc::new(Mutex::new(past))),
                    None => s3::View::Present(self.clone()),
                };
                s3::wire::serve(view, owner, target, parts, body).await
            }
        };
        let refused = s3::wire::error_code(&response);
        self.lock().leave(visit, Some((response, refused)))
    }
}

impl State {
    /// Numbers the call, authenticates the caller and selects the fault.
    fn arrive(&mut self, door: &Door<'_>) -> Visit {
        self.world.advance(door.now);
        let seq = self.transcript.number();
        let mutating = faults::is_mutating(door.service, door.operation);
        let fault = self.faults.meet(door.service, door.operation, door.now).map(|fault| {
            let took_effect = fault != Fault::StaleRead || !mutating && self.past.contains_key(door.service);
            FaultRecord { fault, took_effect }
        });
        let found = sts::principal(&self.world, &door.scope.access_key);
        let gate = match admit(found, door.now, door.protocol) {
            Err(refusal) => Gate::Refuse(refusal),
            Ok(principal) => match fault.as_ref().map(|met| &met.fault) {
                Some(Fault::KillBefore) => Gate::Killed,
                Some(Fault::Deny) => Gate::Refuse(faults::denied(door.service, door.operation)),
                Some(Fault::Throttle) => Gate::Refuse(faults::throttled(door.service)),
                Some(Fault::Error(error)) => Gate::Refuse(error.answer(door.service, door.operation)),
                _ => Gate::Pass(principal),
            },
        };
        if mutating && matches!(gate, Gate::Pass(_)) && self.faults.has_stale_reads() {
            self.past.insert(door.service.to_owned(), self.world.clone());
        }
        let record = Record {
            seq,
            at: door.now,
            service: door.service.to_owned(),
            operation: door.operation.to_owned(),
            region: door.scope.region.clone(),
            access_key: Some(door.scope.access_key.clone()),
            status: None,
            code: None,
            applied: false,
            mutating,
            fault,
            input: Value::Null,
        };
        Visit { record, request_id: Ids::new(seq).uuid(), gate }
    }

    /// Calls the service; a stale read sees the world before the last write.
    fn serve(&mut self, call: &Call, fault: Option<&FaultRecord>) -> Answer {
        let stale = fault.is_some_and(FaultRecord::reads_the_past);
        let Some(past) = self.past.get_mut(call.service).filter(|_| stale) else {
            return self.world.call(call);
        };
        // Hide only the effects of the last write. Access keys issued by a stale read must stay valid, and ids
        // unique.
        past.sts.clone_from(&self.world.sts);
        past.ids.clone_from(&self.world.ids);
        let answer = past.call(call);
        self.world.sts.clone_from(&past.sts);
        self.world.ids.clone_from(&past.ids);
        answer
    }

    /// Records the call and drops the response if the fault says so.
    fn leave(&mut self, visit: Visit, outcome: Option<(Response<Bytes>, Option<String>)>) -> Reply {
        let Visit { mut record, request_id, gate } = visit;
        let lost = record.fault.as_ref().map(|met| met.fault.clone());
        let reply = outcome.map(|(mut response, refused)| {
            let status = response.status();
            record.status = Some(status.as_u16());
            record.applied = matches!(gate, Gate::Pass(_)) && refused.is_none() && status.as_u16() < 400;
            record.code = refused;
            stamp(&mut response, &record, &request_id);
            response
        });
        self.transcript.enter(record);
        match (reply, lost) {
            (None, _) | (_, Some(Fault::KillAfter)) => Reply::Killed,
            (_, Some(Fault::LoseReply)) => Reply::Lost,
            (Some(response), _) => Reply::Answer(response),
        }
    }
}

impl FaultRecord {
    fn reads_the_past(&self) -> bool {
        self.took_effect && self.fault == Fault::StaleRead
    }
}

fn call(model: &'static Model, door: &Door<'_>, account: &str, input: Map<String, Value>) -> Call {
    Call {
        service: model.service,
        operation: door.operation.to_owned(),
        input,
        account: account.to_owned(),
        region: door.scope.region.clone(),
        access_key: door.scope.access_key.clone(),
        now: door.now,
    }
}

/// Sets the headers that every response has.
fn stamp(response: &mut Response<Bytes>, record: &Record, request_id: &str) {
    let id_header = if record.service == "s3" { "x-amz-request-id" } else { "x-amzn-requestid" };
    let date = text::http_date(record.at.epoch_seconds()).unwrap_or_default();
    for (name, value) in [(id_header, request_id), ("date", &date)] {
        if let Ok(value) = HeaderValue::from_str(value) {
            response.headers_mut().insert(name, value);
        }
    }
}

/// Decompresses a gzip request body: clients compress large bodies of operations such as `PutMetricData`.
fn inflated(parts: &Parts, body: Bytes) -> Result<Bytes, ApiError> {
    let encoding = parts
        .headers
        .get(http::header::CONTENT_ENCODING)
        .map_or(Cow::from(""), |v| String::from_utf8_lossy(v.as_bytes()));
    if encoding != "gzip" {
        return Ok(body);
    }
    let refuse = |why: &str| ApiError::new("SerializationException", why).with_status(400);
    let mut plain = Vec::new();
    let read = flate2::read::GzDecoder::new(body.as_ref()).take(LARGEST_INFLATED + 1).read_to_end(&mut plain);
    match read {
        Ok(length) if u64::try_from(length).is_ok_and(|l| l <= LARGEST_INFLATED) => Ok(plain.into()),
        Ok(_) => Err(refuse("the decompressed body is too large")),
        Err(_) => Err(refuse("the body is not gzip")),
    }
}

/// The error response to an unsigned request. The service is unknown, so it carries the error code in both forms,
/// S3's XML and the JSON services' header.
fn unsigned() -> Response<Bytes> {
    let refusal = ApiError::new("MissingAuthenticationToken", "Request is missing Authentication Token");
    let mut response = errors::encode_s3(&refusal.with_status(403), "unsigned");
    let value = HeaderValue::from_static("MissingAuthenticationTokenException");
    response.headers_mut().insert("x-amzn-errortype", value);
    response
}

fn unknown_service(name: &str) -> Response<Bytes> {
    let message = format!("the embedded AWS has no service with the signing name {name}");
    errors::encode_s3(&ApiError::new("UnknownService", message).with_status(404), "unknown")
}
