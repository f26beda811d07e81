//! `DescribeImageReferences`: the resources of an account that use images, within the documented limits.

use serde::Deserialize;
use serde_json::{Value, json};

use super::super::super::call::{Answer, ApiError, Call};
use super::super::super::world::World;
use super::super::support::{Place, page, present, refuse};
use super::super::{imagebuilder, ssm};
use super::place;

/// The default of `version-depth`: how many of the newest launch template versions are searched.
const DEFAULT_DEPTH: usize = 10;
const TYPES: &[&str] = &[
    "ec2:Instance",
    "ec2:LaunchTemplate",
    "ssm:Parameter",
    "imagebuilder:ImageRecipe",
    "imagebuilder:ContainerRecipe",
];

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
    /// The values of an option; `None` if it is not given.
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
    let recipes = Recipes {
        image: recipes(world, call, "ListImageRecipes", "imageRecipeSummaryList")?,
        container: recipes(world, call, "ListContainerRecipes", "containerRecipeSummaryList")?,
    };
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

/// A recipe as Image Builder lists it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Recipe {
    arn: String,
    #[serde(default)]
    parent_image: String,
    /// The image of a container recipe's build instances.
    #[serde(default)]
    instance_image: String,
}

/// The image and container recipes of the account.
struct Recipes {
    image: Vec<Recipe>,
    container: Vec<Recipe>,
}

/// Lists all recipes of one kind from Image Builder with the caller's permissions, as the real API does.
fn recipes(world: &mut World, call: &Call, operation: &str, list: &str) -> Result<Vec<Recipe>, ApiError> {
    let mut recipes = Vec::new();
    let mut token: Option<String> = None;
    loop {
        let input = present(json!({ "maxResults": 25, "nextToken": token }));
        let ask = Call {
            service: "imagebuilder",
            operation: operation.into(),
            input: input.as_object().cloned().unwrap_or_default(),
            ..call.clone()
        };
        let answer = imagebuilder::call(world, &ask)?;
        let page = answer.get(list).and_then(Value::as_array);
        recipes.extend(page.into_iter().flatten().filter_map(|r| serde_json::from_value(r.clone()).ok()));
        token = answer.get("nextToken").and_then(Value::as_str).map(str::to_owned);
        if token.is_none() {
            return Ok(recipes);
        }
    }
}

/// The ARNs of the resources of one kind that use the image.
fn arns(
    world: &World,
    here: &Place,
    recipes: &Recipes,
    image: &str,
    kind: &Wanted,
) -> Result<Vec<String>, ApiError> {
    let Place { account, region } = here;
    let partition = crate::partition::id(region);
    Ok(match kind.resource_type.as_str() {
        "ec2:Instance" => {
            let states = kind.option("state-name");
            world
                .ec2
                .instances
                .values()
                .filter(|i| here.holds(&i.account, &i.region) && i.image_id == image)
                .filter(|i| states.is_none_or(|states| states.iter().any(|s| s == i.state.name())))
                .map(|i| format!("arn:{partition}:ec2:{region}:{account}:instance/{}", i.id))
                .collect()
        }
        "ec2:LaunchTemplate" => {
            let depth = kind.depth()?;
            let mine = world.ec2.launch_templates.values().filter(|t| here.holds(&t.account, &t.region));
            mine.filter(|t| t.versions.keys().rev().take(depth).any(|v| t.data_image(*v) == Some(image)))
                .map(|t| format!("arn:{partition}:ec2:{region}:{account}:launch-template/{}", t.id))
                .collect()
        }
        "ssm:Parameter" => ssm::parameters_naming(world, account, region, image)
            .iter()
            .map(|name| {
                format!("arn:{partition}:ssm:{region}:{account}:parameter/{}", name.trim_start_matches('/'))
            })
            .collect(),
        "imagebuilder:ImageRecipe" => naming(&recipes.image, image),
        "imagebuilder:ContainerRecipe" => naming(&recipes.container, image),
        other => {
            return Err(refuse("InvalidParameterValue", format!("Invalid resource type '{other}'.")));
        }
    })
}

/// The ARNs of the recipes that use an image.
fn naming(recipes: &[Recipe], image: &str) -> Vec<String> {
    let names = |recipe: &&Recipe| recipe.parent_image == image || recipe.instance_image == image;
    recipes.iter().filter(names).map(|recipe| recipe.arn.clone()).collect()
}
