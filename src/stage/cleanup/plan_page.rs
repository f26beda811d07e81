//! The HTML page of a cleanup plan, for whoever approves it: one file without scripts or external resources. Pure.

use askama::Template;
use time::OffsetDateTime;
use time::macros::format_description;

use super::container_images::image::short;
use crate::evidence::predicate::{CleanupPlan, PlannedAction, PlannedContainer, PlannedImage};

#[derive(Template)]
#[template(path = "cleanup-plan.html")]
struct Page<'a> {
    plan: &'a CleanupPlan,
    planned: String,
    expires: String,
    priced: bool,
    totals: Vec<Total>,
    sections: Vec<Section<'a>>,
    containers: Vec<ContainerSection>,
}

struct ContainerSection {
    title: &'static str,
    rows: Vec<ContainerRow>,
}

struct ContainerRow {
    image: String,
    tags: String,
    pushed: String,
    action: &'static str,
    class: &'static str,
    mb: u64,
    reasons: Vec<String>,
}

/// The totals of one action.
struct Total {
    name: &'static str,
    class: &'static str,
    description: &'static str,
    images: usize,
    gib: u64,
    cost: String,
}

struct Section<'a> {
    title: &'static str,
    rows: Vec<Row<'a>>,
}

struct Row<'a> {
    image: &'a str,
    name: &'a str,
    made: &'a str,
    action: &'static str,
    class: &'static str,
    gib: u64,
    cost: String,
    reasons: Vec<String>,
}

/// Maximum number of reasons per image.
const MAX_REASONS: usize = 6;

/// Every action for machine images, those that change an image first.
const ACTIONS: [PlannedAction; 6] = [
    PlannedAction::Deregister,
    PlannedAction::Quarantine,
    PlannedAction::Restore,
    PlannedAction::Wait,
    PlannedAction::Deferred,
    PlannedAction::Keep,
];

/// Renders the page: totals, images that change, images that stay.
///
/// # Errors
/// Rendering failed.
pub fn page(plan: &CleanupPlan) -> Result<String, askama::Error> {
    let totals = ACTIONS.into_iter().filter_map(|action| total(plan, action)).collect();
    let (acting, staying): (Vec<_>, Vec<_>) =
        plan.images.iter().partition(|planned| planned.action.changes_image());
    let sections =
        [section(plan, "Images that change", acting), section(plan, "Images that stay as they are", staying)];
    Page {
        plan,
        planned: moment(plan.planned_on),
        expires: moment(plan.expires_on),
        priced: plan.price_per_gib_month.is_some(),
        totals,
        sections: sections.into_iter().flatten().collect(),
        containers: container_sections(plan),
    }
    .render()
}

/// `None` without images.
fn section<'a>(
    plan: &CleanupPlan,
    title: &'static str,
    images: Vec<&'a PlannedImage>,
) -> Option<Section<'a>> {
    let rows: Vec<Row<'a>> = images.into_iter().map(|planned| row(plan, planned)).collect();
    (!rows.is_empty()).then_some(Section { title, rows })
}

fn container_sections(plan: &CleanupPlan) -> Vec<ContainerSection> {
    let (acting, staying): (Vec<_>, Vec<_>) =
        plan.containers.iter().partition(|planned| planned.action.changes_image());
    let section = |title, images: Vec<&PlannedContainer>| {
        let rows: Vec<ContainerRow> = images.into_iter().map(container_row).collect();
        (!rows.is_empty()).then_some(ContainerSection { title, rows })
    };
    let sections = [
        section("Container images that change", acting),
        section("Container images that stay as they are", staying),
    ];
    sections.into_iter().flatten().collect()
}

fn container_row(planned: &PlannedContainer) -> ContainerRow {
    ContainerRow {
        image: container_name(planned),
        tags: planned.image.tags.join(", "),
        pushed: container_pushed(planned).to_owned(),
        action: planned.action.name(),
        class: class(planned.action),
        mb: megabytes(planned.bytes),
        reasons: first_reasons(&planned.reasons),
    }
}

/// The repository and the first digits of the digest.
#[must_use]
pub fn container_name(planned: &PlannedContainer) -> String {
    format!("{}@{}", planned.image.repository, short(&planned.image.digest))
}

/// The day an image was pushed.
#[must_use]
pub fn container_pushed(planned: &PlannedContainer) -> &str {
    let pushed = planned.pushed_on.as_deref().unwrap_or_default();
    pushed.split_once('T').map_or(pushed, |(day, _)| day)
}

/// Millions of bytes, rounded up.
#[must_use]
pub fn megabytes(bytes: u64) -> u64 {
    bytes.div_ceil(1_000_000)
}

fn moment(at: OffsetDateTime) -> String {
    at.format(format_description!("[year]-[month]-[day] [hour]:[minute]")).unwrap_or_default()
}

fn total(plan: &CleanupPlan, action: PlannedAction) -> Option<Total> {
    let of_action: Vec<&PlannedImage> =
        plan.images.iter().filter(|planned| planned.action == action).collect();
    let gib = of_action.iter().map(|planned| planned.gib).fold(0, u64::saturating_add);
    (!of_action.is_empty()).then(|| Total {
        name: action.name(),
        class: class(action),
        description: description(action),
        images: of_action.len(),
        gib,
        cost: cost(plan, gib),
    })
}

fn row<'a>(plan: &CleanupPlan, planned: &'a PlannedImage) -> Row<'a> {
    let made = &planned.image.creation_date;
    Row {
        image: &planned.image.image_id,
        name: &planned.image.name,
        made: made.split_once('T').map_or(made.as_str(), |(day, _)| day),
        action: planned.action.name(),
        class: class(planned.action),
        gib: planned.gib,
        cost: cost(plan, planned.gib),
        reasons: first_reasons(&planned.reasons),
    }
}

/// The first reasons and the number of others: a thousand instances may use an image.
#[must_use]
pub fn first_reasons(reasons: &[String]) -> Vec<String> {
    let (first, rest) = reasons.split_at(reasons.len().min(MAX_REASONS));
    let more = (!rest.is_empty()).then(|| format!("and {} more, in the plan", rest.len()));
    first.iter().cloned().chain(more).collect()
}

/// Maximum price of so many GiB per month; empty without a price.
#[allow(clippy::cast_precision_loss, reason = "a sum of money is shown to the cent")]
#[must_use]
pub fn cost(plan: &CleanupPlan, gib: u64) -> String {
    plan.price_per_gib_month.map_or_else(String::new, |price| format!("{:.2}", price * gib as f64))
}

fn class(action: PlannedAction) -> &'static str {
    match action {
        PlannedAction::Deregister | PlannedAction::Delete => "deregister",
        PlannedAction::Quarantine => "quarantine",
        PlannedAction::Restore => "restore",
        PlannedAction::Wait | PlannedAction::Deferred | PlannedAction::Keep => "still",
    }
}

fn description(action: PlannedAction) -> &'static str {
    match action {
        PlannedAction::Deregister => "with the snapshots that no other resource references",
        PlannedAction::Delete => "by digest",
        PlannedAction::Quarantine => "mark, deprecate and disable; can be undone",
        PlannedAction::Restore => "from quarantine, to its former state",
        PlannedAction::Wait => "in quarantine, which has not ended",
        PlannedAction::Deferred => "to the next cleanup",
        PlannedAction::Keep => "for at least one reason",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Timestamp;
    use crate::evidence::ImageIdentity;
    use crate::evidence::predicate::ContainerImage;

    fn planned(id: &str, name: &str, action: PlannedAction, reason: &str) -> PlannedImage {
        let image = ImageIdentity {
            image_id: id.into(),
            name: name.into(),
            creation_date: "2026-01-02T03:04:05.000Z".into(),
            account: "123456789012".into(),
            region: "eu-west-1".into(),
        };
        PlannedImage { image, action, reasons: vec![reason.into()], snapshots: Vec::new(), gib: 8 }
    }

    fn container(number: u32, action: PlannedAction) -> PlannedContainer {
        PlannedContainer {
            image: ContainerImage {
                account: "123456789012".into(),
                region: "eu-west-1".into(),
                repository: "team/web".into(),
                digest: format!("sha256:{number:064x}"),
                tags: vec![format!("1.{number}<i>")],
            },
            pushed_on: Some("2026-01-02T03:04:05Z".into()),
            action,
            reasons: vec!["nothing uses it".into()],
            bytes: 1_500_001,
        }
    }

    fn plan(price: Option<f64>) -> CleanupPlan {
        CleanupPlan {
            service: "web".into(),
            account: "123456789012".into(),
            region: "eu-west-1".into(),
            policy: serde_json::Value::Null,
            targets: Vec::new(),
            planned_on: Timestamp(1_800_000_000).date_time(),
            expires_on: Timestamp(1_800_086_400).date_time(),
            price_per_gib_month: price,
            images: vec![
                planned("ami-1", "kept", PlannedAction::Keep, "used by parameter <b>golden</b>"),
                planned("ami-2", "gone <script>", PlannedAction::Deregister, "nothing uses it"),
                planned("ami-3", "gone too", PlannedAction::Deregister, "nothing uses it"),
            ],
            containers: [(1, PlannedAction::Keep), (2, PlannedAction::Delete)]
                .map(|(n, action)| container(n, action))
                .into(),
        }
    }

    #[test]
    fn images_that_change_come_first_with_their_price_and_reasons() {
        let page = page(&plan(Some(0.05))).unwrap();
        let at = |text: &str| page.find(text).unwrap_or_else(|| panic!("{text} is not in {page}"));
        assert!(at("Images that change") < at("ami-2"));
        assert!(at("ami-3") < at("Images that stay as they are"));
        assert!(at("Images that stay as they are") < at("ami-1"));
        // Two images of 8 GiB for 0.05 each.
        at("<td class=\"r\">2</td><td class=\"r\">16</td><td class=\"r\">0.80</td>");
        at("until 2027-01-16 08:00 UTC");
    }

    #[test]
    fn container_images_are_listed_with_repository_digest_and_tags() {
        let page = page(&plan(None)).unwrap();
        let at = |text: &str| page.find(text).unwrap_or_else(|| panic!("{text} is not in {page}"));
        assert!(at("Container images that change") < at("1.2&#60;i&#62;"));
        assert!(at("1.2&#60;i&#62;") < at("Container images that stay as they are"));
        at("<td class=\"r mb\">2</td>");
    }

    #[test]
    fn long_lists_of_reasons_are_cut_and_counted() {
        let mut plan = plan(None);
        plan.images[0].reasons = (0..1000).map(|n| format!("used by instance i-{n:04}")).collect();
        let page = page(&plan).unwrap();
        assert!(page.contains("i-0005<br>and 994 more, in the plan"), "{page}");
        assert!(!page.contains("i-0006"));
    }

    #[test]
    fn names_and_reasons_are_escaped() {
        let page = page(&plan(None)).unwrap();
        assert!(!page.contains("<script") && !page.contains("<b>golden"), "{page}");
        assert!(!page.contains("Per month"), "no price, no column");
    }
}
