//! What is on the images, read before they count as baked.

use std::time::Duration;

use super::judge::{BuiltImage, Copies};
use super::{Bake, Inputs, reread};
use crate::digest::Sha256;
use crate::engine::{Progress, StageError, Step};
use crate::evidence::Binding;
use crate::spec::ContentDigest;
use crate::stage::Cx;
use crate::stage::content::{Position, Turn, percent, read_on, survey, volumes};

/// The copies whose content is read.
fn copies(asked: ContentDigest, copies: &Copies, home: &str) -> Vec<BuiltImage> {
    let here = copies.own.iter().filter(|copy| copy.region == home);
    match asked {
        ContentDigest::None => Vec::new(),
        ContentDigest::OneCopy => here.chain(&copies.own).take(1).cloned().collect(),
        ContentDigest::EveryCopy => copies.own.clone(),
    }
}

/// What the statement binds of each of the account's own copies, in their order.
pub fn bound(asked: ContentDigest, found: &Copies, home: &str, content: Option<Sha256>) -> Vec<Binding> {
    let read = copies(asked, found, home);
    let of = |copy: &BuiltImage| match content {
        None => Binding::Identity,
        Some(content) if read.contains(copy) => Binding::Content(content),
        Some(content) => Binding::ContentOfAnotherCopy(content),
    };
    found.own.iter().map(of).collect()
}

/// Reads one piece of a copy's blocks. Every piece rests, so that a worker that dies takes no more with it.
pub async fn reading(
    inputs: &Inputs,
    cx: &Cx,
    image: String,
    copy: u16,
    position: Option<Position>,
    content: Option<Sha256>,
) -> Result<Step<Bake>, StageError> {
    let asked = inputs.bake.content_digest;
    if asked == ContentDigest::None {
        return Ok(Step::Next(Bake::Tagging { image, done: 0, content: None }));
    }
    let copies = copies(asked, &reread(inputs, cx, &image).await?.machine()?, cx.aws.region());
    let Some(built) = copies.get(usize::from(copy)) else {
        return Ok(Step::Next(Bake::Tagging { image, done: 0, content }));
    };
    let place = format!("{} in {}", built.id, built.region);
    let ebs = cx.aws.ebs_in(&built.region);
    let disks = volumes(&cx.aws.ec2_in(&built.region), &built.id).await?;
    let Some(at) = position else {
        let summary = format!("reading the content of {place}: {}", survey(&ebs, &disks).await?);
        return Ok(rest(image, copy, Position::default(), content, summary));
    };
    match read_on(&ebs, &disks, at).await? {
        Turn::On(position) => {
            let summary = format!("reading the content of {place}: {} %", percent(&disks, position));
            Ok(rest(image, copy, position, content, summary))
        }
        Turn::Whole(digest) => match content {
            Some(first) if first != digest => Err(StageError::Rejected(format!(
                "the copies of the image do not hold the same: the content of {place} has the digest {digest}, that \
                 of {} has {first}",
                copies.first().map_or("another", |first| first.id.as_str())
            ))),
            Some(_) | None => {
                let copy = copy.saturating_add(1);
                Ok(Step::Next(Bake::Reading { image, copy, position: None, content: Some(digest) }))
            }
        },
    }
}

fn rest(image: String, copy: u16, at: Position, content: Option<Sha256>, summary: String) -> Step<Bake> {
    let progress = Progress { percent: 97, summary, external_id: Some(image.clone()) };
    let state = Bake::Reading { image, copy, position: Some(at), content };
    Step::Wait { state, again_in: Duration::ZERO, progress }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn built(region: &str) -> BuiltImage {
        BuiltImage { region: region.into(), account: "1".into(), id: format!("ami-{region}") }
    }

    #[test]
    fn the_copy_at_home_is_read_or_all_are() {
        let both = Copies { own: vec![built("a"), built("b")], foreign: vec![built("c")] };
        for (asked, home, expected) in [
            (ContentDigest::OneCopy, "b", vec![built("b")]),
            (ContentDigest::OneCopy, "elsewhere", vec![built("a")]),
            (ContentDigest::EveryCopy, "b", vec![built("a"), built("b")]),
        ] {
            assert_eq!(copies(asked, &both, home), expected, "{asked:?} {home}");
        }
    }

    #[test]
    fn a_copy_that_was_not_read_says_so() {
        let both = Copies { own: vec![built("a"), built("b")], foreign: vec![built("c")] };
        let content = Sha256::of(b"content");
        let (read, taken) = (Binding::Content(content), Binding::ContentOfAnotherCopy(content));
        for (asked, content, expected) in [
            (ContentDigest::None, None, [Binding::Identity; 2]),
            (ContentDigest::OneCopy, Some(content), [taken, read]),
            (ContentDigest::EveryCopy, Some(content), [read; 2]),
        ] {
            assert_eq!(bound(asked, &both, "b", content), expected, "{asked:?}");
        }
    }
}
