//! Computes the content digest of an image in one run, for `bakeline verify --content`.

use std::time::Duration;

use super::read::{ReadProgress, count_blocks, percent, read_piece, volumes};
use super::{BlockCount, Position};
use crate::aws::Aws;
use crate::digest::Sha256;
use crate::engine::{Clock, StageError};

/// Transient errors in a row after which the read gives up.
const MAX_FAULTS: u32 = 8;
/// Delay before a piece is read again.
const RETRY_DELAY: Duration = Duration::from_secs(5);

/// Progress of reading an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentEvent {
    /// The read starts; how many blocks there are. Sent before the first block is read.
    Started(BlockCount),
    /// A piece was read: the percentage so far, and the position from which a later run can resume.
    Progress { percent: u64, position: Position },
}

/// Computes the content digest of an image, from the beginning or from the position of an earlier run. A transient error
/// repeats one piece.
///
/// # Errors
/// As [`read_piece`]; a transient error only after several in a row.
pub async fn digest(
    aws: &Aws,
    clock: &Clock,
    region: &str,
    image: &str,
    from: Position,
    mut on_event: impl FnMut(ContentEvent),
) -> Result<Sha256, StageError> {
    let (ec2, ebs) = (aws.ec2_in(region), aws.ebs_in(region));
    let volumes = volumes(&ec2, image).await?;
    on_event(ContentEvent::Started(count_blocks(&ebs, &volumes).await?));
    let (mut position, mut faults) = (from, 0);
    loop {
        match read_piece(&ebs, &volumes, position).await {
            Ok(ReadProgress::Complete(digest)) => return Ok(digest),
            Ok(ReadProgress::Partial(next)) => {
                (position, faults) = (next, 0);
                on_event(ContentEvent::Progress { percent: percent(&volumes, position), position });
            }
            Err(error) if error.is_transient() && faults < MAX_FAULTS => {
                faults = faults.saturating_add(1);
                clock.sleep(RETRY_DELAY).await;
            }
            Err(error) => return Err(error),
        }
    }
}
