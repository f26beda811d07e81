//! An image's content digest made anew, in one go.

use std::time::Duration;

use super::read::{Turn, percent, read_on, survey, volumes};
use super::{Position, Survey};
use crate::aws::Aws;
use crate::digest::Sha256;
use crate::engine::{Clock, StageError};

/// Faults in a row after which a reading gives up.
const MAX_FAULTS: u32 = 8;
const AFTER_A_FAULT: Duration = Duration::from_secs(5);

/// What there is to tell while an image is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// So much will be read. Told before the first block is.
    Begins(Survey),
    /// So many hundredths lie behind, and from where the reading can go on another time.
    At { percent: u64, position: Position },
}

/// The content digest of an image, read from a position on: from the beginning, or from where an earlier reading told it
/// had come to. A piece that a passing fault breaks is read again, and nothing before it.
///
/// # Errors
/// As [`read_on`]; what passes only when it was met again and again.
pub async fn digest(
    aws: &Aws,
    clock: &Clock,
    region: &str,
    image: &str,
    from: Position,
    mut tell: impl FnMut(News),
) -> Result<Sha256, StageError> {
    let (ec2, ebs) = (aws.ec2_in(region), aws.ebs_in(region));
    let volumes = volumes(&ec2, image).await?;
    tell(News::Begins(survey(&ebs, &volumes).await?));
    let (mut at, mut faults) = (from, 0);
    loop {
        match read_on(&ebs, &volumes, at).await {
            Ok(Turn::Whole(digest)) => return Ok(digest),
            Ok(Turn::On(position)) => {
                (at, faults) = (position, 0);
                tell(News::At { percent: percent(&volumes, at), position });
            }
            Err(fault) if fault.is_transient() && faults < MAX_FAULTS => {
                faults = faults.saturating_add(1);
                clock.sleep(AFTER_A_FAULT).await;
            }
            Err(error) => return Err(error),
        }
    }
}
