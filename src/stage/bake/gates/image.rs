//! The gate on the images' properties: encryption, metadata service, boot mode, architecture and size. Pure.

use super::super::images::availability::BuiltImage;
use super::error::GateError;
use crate::spec::{Architecture, BootMode, ImageRequirements as Gate};

/// The properties of an image that the gate checks, as EC2 describes them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageProperties {
    pub public: bool,
    pub architecture: String,
    /// None: the default of the instance type.
    pub boot_mode: Option<String>,
    /// `ImdsSupport`.
    pub imds: Option<String>,
    /// Size in GiB and encryption of every volume, in the order of the devices.
    pub volumes: Vec<(u32, bool)>,
}

impl ImageProperties {
    fn size(&self) -> u64 {
        self.volumes.iter().map(|(size, _)| u64::from(*size)).sum()
    }
}

/// Checks the properties of an image against the gate. A public image never passes.
///
/// # Errors
/// Properties differ; names all of them.
pub fn check_properties(
    gate: Option<&Gate>,
    image: &BuiltImage,
    properties: &ImageProperties,
) -> Result<(), GateError> {
    let mut wrong = Vec::new();
    if properties.public {
        wrong.push("it is public".to_owned());
    }
    if let Some(gate) = gate {
        let unencrypted = properties.volumes.iter().filter(|(_, encrypted)| !encrypted).count();
        if gate.requires_encryption() && (unencrypted > 0 || properties.volumes.is_empty()) {
            wrong
                .push(format!("{unencrypted} of its {} volumes are not encrypted", properties.volumes.len()));
        }
        if gate.requires_imds_v2() && properties.imds.as_deref() != Some("v2.0") {
            wrong.push("it does not require IMDSv2 (ImdsSupport is not v2.0)".to_owned());
        }
        let mut check = |what: &str, wanted: Option<&str>, found: Option<&str>| {
            if let Some(wanted) = wanted.filter(|wanted| found != Some(wanted)) {
                wrong.push(format!("its {what} is {}, not {wanted}", found.unwrap_or("unknown")));
            }
        };
        check("boot mode", gate.boot_mode.map(BootMode::name), properties.boot_mode.as_deref());
        let architecture = Some(properties.architecture.as_str()).filter(|name| !name.is_empty());
        check("architecture", gate.architecture.map(Architecture::name), architecture);
        if let Some(max) = gate.max_size_gib.filter(|max| properties.size() > u64::from(*max)) {
            wrong.push(format!("its volumes have {} GiB, max {max}", properties.size()));
        }
    }
    if wrong.is_empty() {
        return Ok(());
    }
    Err(GateError::Properties {
        image: image.id.clone(),
        region: image.region.clone(),
        differences: wrong.join("; "),
    })
}

/// Checks that all copies of an image have the same properties.
///
/// # Errors
/// Two copies differ; says in what.
pub fn check_copies_equal(copies: &[(&BuiltImage, ImageProperties)]) -> Result<(), GateError> {
    let Some(((first, expected), rest)) = copies.split_first() else { return Ok(()) };
    for (other, properties) in rest {
        let property = if properties.architecture != expected.architecture {
            "architecture"
        } else if properties.boot_mode != expected.boot_mode {
            "boot mode"
        } else if properties.imds != expected.imds {
            "ImdsSupport"
        } else if properties.volumes != expected.volumes {
            "volumes"
        } else {
            continue;
        };
        let name = |image: &BuiltImage| format!("{} in {}", image.id, image.region);
        return Err(GateError::CopiesDiffer { first: name(first), second: name(other), property });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::bake::gates::{Imds, VolumeEncryption};

    fn image() -> BuiltImage {
        BuiltImage { region: "eu-west-1".into(), account: "1".into(), id: "ami-1".into() }
    }

    fn properties() -> ImageProperties {
        ImageProperties {
            public: false,
            architecture: "x86_64".into(),
            boot_mode: Some("uefi-preferred".into()),
            imds: Some("v2.0".into()),
            volumes: vec![(8, true), (20, true)],
        }
    }

    #[test]
    fn every_property_in_the_gate_is_checked() {
        let gate = Gate {
            volume_encryption: VolumeEncryption::Required,
            imds: Imds::V2,
            boot_mode: Some(BootMode::UefiPreferred),
            architecture: Some(Architecture::X86_64),
            max_size_gib: Some(28),
        };
        assert!(check_properties(Some(&gate), &image(), &properties()).is_ok());
        assert!(check_properties(None, &image(), &ImageProperties::default()).is_ok());
        for (changed, words) in [
            (ImageProperties { public: true, ..properties() }, "it is public"),
            (
                ImageProperties { volumes: vec![(8, true), (20, false)], ..properties() },
                "1 of its 2 volumes are not encrypted",
            ),
            (ImageProperties { volumes: Vec::new(), ..properties() }, "0 of its 0 volumes"),
            (ImageProperties { imds: None, ..properties() }, "ImdsSupport is not v2.0"),
            (
                ImageProperties { boot_mode: None, ..properties() },
                "its boot mode is unknown, not uefi-preferred",
            ),
            (
                ImageProperties { architecture: "arm64".into(), ..properties() },
                "its architecture is arm64, not x86_64",
            ),
            (ImageProperties { volumes: vec![(29, true)], ..properties() }, "have 29 GiB, max 28"),
        ] {
            let refused = check_properties(Some(&gate), &image(), &changed).unwrap_err().to_string();
            assert!(refused.contains(words), "{refused}");
        }
        assert!(
            check_properties(None, &image(), &ImageProperties { public: true, ..properties() }).is_err(),
            "a public image never passes"
        );
    }

    #[test]
    fn copies_with_different_properties_are_refused() {
        let (here, there) =
            (image(), BuiltImage { region: "eu-central-1".into(), id: "ami-2".into(), ..image() });
        assert!(check_copies_equal(&[(&here, properties()), (&there, properties())]).is_ok());
        for (other, member) in [
            (ImageProperties { architecture: "arm64".into(), ..properties() }, "architecture"),
            (ImageProperties { boot_mode: None, ..properties() }, "boot mode"),
            (ImageProperties { imds: None, ..properties() }, "ImdsSupport"),
            (ImageProperties { volumes: vec![(8, true)], ..properties() }, "volumes"),
            (ImageProperties { volumes: vec![(8, true), (20, false)], ..properties() }, "volumes"),
        ] {
            let refused =
                check_copies_equal(&[(&here, properties()), (&there, other)]).unwrap_err().to_string();
            assert!(refused.contains(member) && refused.contains("ami-2 in eu-central-1"), "{refused}");
        }
    }
}
