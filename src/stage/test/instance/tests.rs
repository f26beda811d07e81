//! Tests of the pure parts of a test on an instance.

use super::boot::{BootState, DescribedImage, InstanceHealth, boot_state, same_image};
use super::*;

#[test]
fn an_image_with_another_identity_is_not_launched() {
    let identity = ImageIdentity {
        account: "123456789012".into(),
        creation_date: "2026-01-01T00:00:00.000Z".into(),
        image_id: "ami-1".into(),
        name: "web".into(),
        region: "eu-west-1".into(),
    };
    let good = DescribedImage {
        state: "available".into(),
        owner: Some("123456789012".into()),
        name: Some("web".into()),
        creation_date: Some("2026-01-01T00:00:00.000Z".into()),
    };
    assert!(same_image(&identity, &good).is_ok());
    for (found, member) in [
        (DescribedImage { owner: Some("1".into()), ..good.clone() }, "owner 1"),
        (DescribedImage { owner: None, ..good.clone() }, "owner none"),
        (DescribedImage { name: Some("other".into()), ..good.clone() }, "name other"),
        (DescribedImage { creation_date: None, ..good.clone() }, "creation date none"),
        (DescribedImage { state: "deregistered".into(), ..good.clone() }, "state deregistered"),
    ] {
        let error = same_image(&identity, &found).unwrap_err().to_string();
        assert!(error.contains(member), "{error}");
    }
}

#[test]
fn an_instance_is_ready_when_both_status_checks_pass_and_it_answers_systems_manager() {
    let health = |state: &str, system: &str, instance: &str, ping: &str| InstanceHealth {
        state: state.into(),
        system: system.into(),
        instance: instance.into(),
        ping: ping.into(),
    };
    for (health, expected) in [
        (health("running", "ok", "ok", "Online"), BootState::Ready),
        (health("running", "ok", "ok", ""), BootState::Waiting("Systems Manager ping unknown".into())),
        (
            health("running", "ok", "ok", "ConnectionLost"),
            BootState::Waiting("Systems Manager ping ConnectionLost".into()),
        ),
        (
            health("running", "initializing", "impaired", "Online"),
            BootState::Waiting("system status initializing, instance status impaired".into()),
        ),
        (
            health("", "", "", ""),
            BootState::Waiting(
                "instance unknown, system status unknown, instance status unknown, Systems Manager \
                 ping unknown"
                    .into(),
            ),
        ),
        (health("pending", "ok", "ok", "Online"), BootState::Waiting("instance pending".into())),
        (health("stopping", "ok", "ok", "Online"), BootState::Ended),
        (health("stopped", "ok", "ok", "Online"), BootState::Ended),
        (health("shutting-down", "", "", ""), BootState::Ended),
        (health("terminated", "", "", ""), BootState::Ended),
    ] {
        assert_eq!(boot_state(&health), expected, "{health:?}");
    }
}
