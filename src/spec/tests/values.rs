//! Values that people write and a strict reader stumbles over.

use serde_json::Value;

use super::super::schema::schema;
use super::{example_with, parse};

/// The messages about a changed example.
fn messages(passage: &str, replacement: &str) -> String {
    parse(&example_with(passage, replacement)).expect_err(replacement).to_string()
}

/// A recipe is named as the service, and `CreateImageRecipe` refuses names of less than three characters.
#[test]
fn a_service_that_image_builder_cannot_name_a_recipe_by_is_refused_with_the_reason() {
    for name in ["no", "a", "x1"] {
        let said = messages("service: web\n", &format!("service: {name}\n"));
        assert!(said.contains("at least 3 characters"), "{said}");
        assert!(said.contains("Image Builder"), "{said}");
    }
    assert_eq!(schema()["properties"]["service"]["minLength"], 3);
    parse(&example_with("service: web\n", "service: api\n")).unwrap();
}

#[test]
fn a_word_for_a_boolean_is_answered_with_the_boolean() {
    let passage = "instance_type: t3.small\n";
    let with = |word: &str| format!("{passage}    assign_public_ip: {word}\n");
    for (word, hint) in [
        ("yes", "write true"),
        ("Yes", "write true"),
        ("on", "write true"),
        ("\"true\"", "write true"),
        ("no", "write false"),
        ("OFF", "write false"),
    ] {
        let said = messages(passage, &with(word));
        assert!(said.contains(&format!("hint: {hint}")), "{word}: {said}");
        assert!(said.contains("expected true or false"), "{word}: {said}");
    }
    for boolean in ["true", "False"] {
        parse(&example_with(passage, &with(boolean))).unwrap();
    }
}

#[test]
fn a_tab_between_a_key_and_its_value_is_white_space() {
    let spec = parse(&example_with("    hold: 15m\n", "    hold:\t15m\n")).unwrap();
    let spaced = parse(&example_with("    hold: 15m\n", "    hold: 15m\n")).unwrap();
    assert_eq!(spec, spaced);
    // The position after it stays that of the file.
    let said = messages("    hold: 15m\n", "    hold:\t15x\n");
    assert!(said.starts_with("bakeline.yaml:34:11: "), "{said}");
}

#[test]
fn a_path_that_begins_with_a_dot_is_answered_with_the_path_to_write() {
    let said = messages("checks/serves.sh", "./checks/serves.sh");
    assert!(said.contains("hint: write it as checks/serves.sh"), "{said}");
}

#[test]
fn a_region_of_any_partition_is_one() {
    let copy = "{ region: eu-west-1, account: \"123456789012\" }";
    for region in [
        "eusc-de-east-1",
        "cn-north-1",
        "us-gov-west-1",
        "us-isob-east-1",
        "eu-isoe-west-1",
        "mx-central-1",
        "eu-west-12",
    ] {
        parse(&example_with(copy, &format!("{{ region: {region}, account: \"123456789012\" }}"))).unwrap();
    }
    for wrong in ["Ireland", "eu-west", "eu-west-1a", "xx-west-1", "eusc-fr-east-1x"] {
        messages(copy, &format!("{{ region: {wrong}, account: \"123456789012\" }}"));
    }
}

#[test]
fn the_published_schema_has_no_keyword_that_a_strict_validator_refuses() {
    fn check(schema: &Value) {
        match schema {
            Value::Object(members) => {
                for (key, member) in members {
                    assert!(!key.starts_with("x-"), "{key}");
                    assert!(key != "format" || !member.is_string(), "{member}");
                    check(member);
                }
            }
            Value::Array(items) => items.iter().for_each(check),
            _ => {}
        }
    }
    let schema = schema();
    check(&schema);
    let text = schema.to_string();
    assert!(text.contains("From 5m to 14d."), "the bounds of a duration are in its description");
}
