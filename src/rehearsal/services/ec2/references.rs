//! `DescribeImageReferences`: where an account uses images, within the limits the API documents.

use serde::Deserialize;
use serde_json::{Value, json};

use super::super::super::call::{Answer, ApiError, Call};
use super::super::super::world::World;
use super::super::support::{Place, page, present, refuse};
use super::super::{imagebuilder, ssm};
use super::place;

/// Newest versions of a launch template looked at when `version-depth` is not given.
const DEFAULT_DEPTH: usize = 10;
const TYPES: &[&str] = &[
    "ec2:Instance",
    "ec2:LaunchTemplate",
    "ssm:Parameter",
    "imagebuilder:ImageRecipe",
    "imagebuilder:ContainerRecipe",
];

/// A reference from another service's resource.
#[derive(Clone, Debug)]
pub(super) struct Foreign {
    place: Place,
    resource_type: String,
    arn: String,
    image_id: String,
}

/// Enters a reference from a resource this world does not model, such as an Image Builder recipe.
pub fn seed_reference(
    world: &mut World,
    account: &str,
    region: &str,
    resource_type: &str,
    arn: &str,
    image_id: &str,
) {
    world.ec2.references.push(Foreign {
        place: Place::new(account, region),
        resource_type: resource_type.into(),
        arn: arn.into(),
        image_id: image_id.into(),
    });
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Describe {
    image_ids: Vec<String>,
    include_all_resource_types: bool,
    resource_types: Vec<Wanted>,
    next_token: Option<String>,
    max_results: Option<usize>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Wanted {
    resource_type: String,
    resource_type_options: Vec<WantedOption>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct WantedOption {
    option_name: String,
    option_values: Vec<String>,
}

impl Wanted {
    /// Values of an option; `None` when it is not given.
    fn option(&self, name: &str) -> Option<&[String]> {
        self.resource_type_options.iter().find(|o| o.option_name == name).map(|o| o.option_values.as_slice())
    }

    fn depth(&self) -> Result<usize, ApiError> {
        let Some(values) = self.option("version-depth") else { return Ok(DEFAULT_DEPTH) };
        values
            .first()
            .and_then(|v| v.parse().ok())
            .filter(|depth| (1..=10_000).contains(depth))
            .ok_or_else(|| refuse("InvalidParameterValue", "version-depth must be between 1 and 10000."))
    }
}

pub(super) fn describe(world: &mut World, call: &Call) -> Answer {
    let input: Describe = call.parse()?;
    if !(1..=10).contains(&input.image_ids.len()) {
        return Err(refuse("InvalidParameterValue", "Between 1 and 10 image IDs must be specified."));
    }
    if input.include_all_resource_types != input.resource_types.is_empty() {
        return Err(refuse(
            "InvalidParameterCombination",
            "Specify either IncludeAllResourceTypes or ResourceTypes.",
        ));
    }
    if input.max_results.is_some_and(|size| size < 5) {
        return Err(refuse("InvalidParameterValue", "MaxResults must be at least 5."));
    }
    let wanted = if input.include_all_resource_types {
        TYPES.iter().map(|t| Wanted { resource_type: (*t).into(), ..Wanted::default() }).collect()
    } else {
        input.resource_types
    };
    let here = place(call);
    let recipes = image_recipes(world, call)?;
    let mut found: Vec<Value> = Vec::new();
    for image in &input.image_ids {
        for kind in &wanted {
            for arn in arns(world, &here, &recipes, image, kind)? {
                found.push(json!({ "ImageId": image, "ResourceType": kind.resource_type, "Arn": arn }));
            }
        }
    }
    let size = input.max_results.unwrap_or(1000);
    let (found, next) = page(found, input.next_token.as_deref(), size, "InvalidParameterValue")?;
    Ok(present(json!({ "ImageReferences": found, "NextToken": next })))
}

/// An image recipe, as Image Builder lists it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Recipe {
    arn: String,
    #[serde(default)]
    parent_image: String,
}

/// All image recipes of the account, asked of Image Builder as the real API does on the caller's behalf.
fn image_recipes(world: &mut World, call: &Call) -> Result<Vec<Recipe>, ApiError> {
    let mut recipes = Vec::new();
    let mut token: Option<String> = None;
    loop {
        let input = present(json!({ "maxResults": 25, "nextToken": token }));
        let ask = Call {
            service: "imagebuilder",
            operation: "ListImageRecipes".into(),
            input: input.as_object().cloned().unwrap_or_default(),
            ..call.clone()
        };
        let answer = imagebuilder::call(world, &ask)?;
        let page = answer.get("imageRecipeSummaryList").and_then(Value::as_array);
        recipes.extend(page.into_iter().flatten().filter_map(|r| serde_json::from_value(r.clone()).ok()));
        token = answer.get("nextToken").and_then(Value::as_str).map(str::to_owned);
        if token.is_none() {
            return Ok(recipes);
        }
    }
}

/// The resources of one kind that name the image.
fn arns(
    world: &World,
    here: &Place,
    recipes: &[Recipe],
    image: &str,
    kind: &Wanted,
) -> Result<Vec<String>, ApiError> {
    let Place { account, region } = here;
    let mut arns: Vec<String> = match kind.resource_type.as_str() {
        "ec2:Instance" => {
            let states = kind.option("state-name");
            world
                .ec2
                .instances
                .values()
                .filter(|i| here.holds(&i.account, &i.region) && i.image_id == image)
                .filter(|i| states.is_none_or(|states| states.iter().any(|s| s == i.state.name())))
                .map(|i| format!("arn:aws:ec2:{region}:{account}:instance/{}", i.id))
                .collect()
        }
        "ec2:LaunchTemplate" => {
            let depth = kind.depth()?;
            let mine = world.ec2.launch_templates.values().filter(|t| here.holds(&t.account, &t.region));
            mine.filter(|t| t.versions.keys().rev().take(depth).any(|v| t.data_image(*v) == Some(image)))
                .map(|t| format!("arn:aws:ec2:{region}:{account}:launch-template/{}", t.id))
                .collect()
        }
        "ssm:Parameter" => ssm::parameters_naming(world, account, region, image)
            .iter()
            .map(|name| format!("arn:aws:ssm:{region}:{account}:parameter/{}", name.trim_start_matches('/')))
            .collect(),
        "imagebuilder:ImageRecipe" => recipes
            .iter()
            .filter(|recipe| recipe.parent_image == image)
            .map(|recipe| recipe.arn.clone())
            .collect(),
        "imagebuilder:ContainerRecipe" => Vec::new(),
        other => {
            return Err(refuse("InvalidParameterValue", format!("Invalid resource type '{other}'.")));
        }
    };
    arns.extend(
        world
            .ec2
            .references
            .iter()
            .filter(|r| r.place == *here && r.resource_type == kind.resource_type && r.image_id == image)
            .map(|r| r.arn.clone()),
    );
    Ok(arns)
}
