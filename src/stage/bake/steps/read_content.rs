//! Reads the content of the machine images: the digest of what is on their volumes.

use std::time::Duration;

use super::super::error::BakeError;
use super::super::images::availability::{BuiltImage, Copies};
use super::super::inputs::{Inputs, current_output};
use super::super::state::Bake;
use crate::digest::Sha256;
use crate::engine::{Progress, StageError, Step};
use crate::evidence::Binding;
use crate::spec::ContentDigest;
use crate::stage::Cx;
use crate::stage::content::{Position, ReadProgress, count_blocks, percent, read_piece, volumes};

/// The copies whose content is read.
fn copies_to_read(requested: ContentDigest, copies: &Copies, region: &str) -> Vec<BuiltImage> {
    let here = copies.own.iter().filter(|copy| copy.region == region);
    match requested {
        ContentDigest::None => Vec::new(),
        ContentDigest::OneCopy => here.chain(&copies.own).take(1).cloned().collect(),
        ContentDigest::EveryCopy => copies.own.clone(),
    }
}

/// What the statement binds of each of the account's own copies, in their order.
pub fn bound(
    requested: ContentDigest,
    copies: &Copies,
    region: &str,
    content: Option<Sha256>,
) -> Vec<Binding> {
    let read = copies_to_read(requested, copies, region);
    let of = |copy: &BuiltImage| match content {
        None => Binding::Identity,
        Some(content) if read.contains(copy) => Binding::Content(content),
        Some(content) => Binding::ContentOfAnotherCopy(content),
    };
    copies.own.iter().map(of).collect()
}

/// Reads one piece of a copy's blocks. The position is in the token after each piece, so a worker that crashes repeats
/// one piece at most.
pub async fn read_content(
    inputs: &Inputs,
    cx: &Cx,
    image: String,
    copy: u16,
    position: Option<Position>,
    content: Option<Sha256>,
) -> Result<Step<Bake>, StageError> {
    let requested = inputs.bake.content_digest;
    if requested == ContentDigest::None {
        return Ok(Step::Next(Bake::Tagging { image, done: 0, content: None }));
    }
    let output = current_output(inputs, cx, &image).await?;
    let copies = copies_to_read(requested, &output.into_machine_images()?, cx.aws.region());
    let Some(built) = copies.get(usize::from(copy)) else {
        return Ok(Step::Next(Bake::Tagging { image, done: 0, content }));
    };
    let name = format!("{} in {}", built.id, built.region);
    let ebs = cx.aws.ebs_in(&built.region);
    let volumes = volumes(&cx.aws.ec2_in(&built.region), &built.id).await?;
    let Some(position) = position else {
        let summary = format!("reading the content of {name}: {}", count_blocks(&ebs, &volumes).await?);
        return Ok(wait(image, copy, Position::default(), content, summary));
    };
    match read_piece(&ebs, &volumes, position).await? {
        ReadProgress::Partial(position) => {
            let summary = format!("reading the content of {name}: {} %", percent(&volumes, position));
            Ok(wait(image, copy, position, content, summary))
        }
        ReadProgress::Complete(digest) => match content {
            Some(first) if first != digest => Err(BakeError::ContentDiffers {
                copy: name,
                digest: digest.to_string(),
                first: copies.first().map_or_else(String::new, |first| first.id.clone()),
                expected: first.to_string(),
            }
            .into()),
            Some(_) | None => {
                let copy = copy.saturating_add(1);
                Ok(Step::Next(Bake::ReadingContent { image, copy, position: None, content: Some(digest) }))
            }
        },
    }
}

fn wait(
    image: String,
    copy: u16,
    position: Position,
    content: Option<Sha256>,
    summary: String,
) -> Step<Bake> {
    let progress = Progress { percent: 97, summary, external_id: Some(image.clone()) };
    let state = Bake::ReadingContent { image, copy, position: Some(position), content };
    Step::Wait { state, again_in: Duration::ZERO, progress }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn built(region: &str) -> BuiltImage {
        BuiltImage { region: region.into(), account: "1".into(), id: format!("ami-{region}") }
    }

    #[test]
    fn the_copy_in_this_region_or_every_copy_is_read() {
        let both = Copies { own: vec![built("a"), built("b")], in_other_accounts: vec![built("c")] };
        for (requested, region, expected) in [
            (ContentDigest::OneCopy, "b", vec![built("b")]),
            (ContentDigest::OneCopy, "elsewhere", vec![built("a")]),
            (ContentDigest::EveryCopy, "b", vec![built("a"), built("b")]),
        ] {
            assert_eq!(copies_to_read(requested, &both, region), expected, "{requested:?} {region}");
        }
    }

    #[test]
    fn the_subject_of_a_copy_that_was_not_read_is_bound_to_the_content_of_another() {
        let both = Copies { own: vec![built("a"), built("b")], in_other_accounts: vec![built("c")] };
        let content = Sha256::of(b"content");
        let (read, of_another) = (Binding::Content(content), Binding::ContentOfAnotherCopy(content));
        for (requested, content, expected) in [
            (ContentDigest::None, None, [Binding::Identity; 2]),
            (ContentDigest::OneCopy, Some(content), [of_another, read]),
            (ContentDigest::EveryCopy, Some(content), [read; 2]),
        ] {
            assert_eq!(bound(requested, &both, "b", content), expected, "{requested:?}");
        }
    }
}
