//! Source artifacts as tools and people make them: each means the same to a rehearsal and to the worker.

use std::fs;
use std::io::Cursor;
use std::path::Path;

use bakeline::artifact::{Archive, Caps, EntryPath, Origin};
use bakeline::cli::rehearse::Plan;
use bakeline::evidence::Stage;

use crate::hostile::draft::unpack;
use crate::hostile::forge::{Part, zip};
use crate::support::{Moment, example, repository};

const SPEC: &str = "examples/web/bakeline.yaml";
const QUICK: &str = "build: {duration: 4m}";

/// Copies a folder.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

fn archive(plan: &Plan) -> Archive<Cursor<Vec<u8>>> {
    Archive::from_source(Cursor::new(plan.setup.source.to_vec()), Origin::Memory, &Caps::default()).unwrap()
}

#[test]
fn a_spec_in_a_folder_of_a_monorepo_is_rehearsed_as_it_runs() {
    let folder = tempfile::tempdir().unwrap();
    let service = folder.path().join("services/web");
    copy(repository(SPEC).parent().unwrap(), &service);
    let spec = service.join("bakeline.yaml");
    let text = fs::read_to_string(&spec).unwrap();
    let text = text.replace("path: ", "path: services/web/");
    fs::write(&spec, &text).unwrap();
    let plan = Plan::read_below(Some(folder.path()), &spec, None).unwrap();
    assert_eq!(plan.setup.configuration["Spec"], "services/web/bakeline.yaml");
    Moment::start(&plan).after(Stage::Bake);

    let elsewhere = tempfile::tempdir().unwrap();
    let refused = Plan::read_below(Some(elsewhere.path()), &spec, None).err().unwrap().to_string();
    assert!(refused.contains("below the root"), "{refused}");
}

#[test]
fn an_artifact_whose_names_begin_with_a_dot_is_the_same_artifact() {
    let mut plan = example(QUICK);
    let root = Part::stored("./", b"").attributes(0o040_755 << 16);
    let files = unpack(&plan.setup.source);
    let parts = files.iter().map(|(path, bytes)| Part::deflated(&format!("./{path}"), bytes));
    plan.setup.source = zip(&[root].into_iter().chain(parts).collect::<Vec<_>>()).into();
    Moment::start(&plan).after(Stage::Bake);
}

#[cfg(unix)]
#[test]
fn a_symbolic_link_beside_the_spec_is_packed_as_a_link_and_baked() {
    let folder = tempfile::tempdir().unwrap();
    copy(repository(SPEC).parent().unwrap(), folder.path());
    let spec = folder.path().join("bakeline.yaml");
    let without = Plan::read(&spec, None).unwrap();
    std::os::unix::fs::symlink("app", folder.path().join("current")).unwrap();
    std::os::unix::fs::symlink("nowhere", folder.path().join("dangling")).unwrap();
    let plan = Plan::read(&spec, None).unwrap();
    assert_ne!(plan.setup.source, without.setup.source);
    let links: Vec<String> = archive(&plan).links().map(ToString::to_string).collect();
    assert_eq!(links, ["current", "dangling"]);
    assert_eq!(archive(&plan).target(&EntryPath::new("current").unwrap()).unwrap(), b"app");
    Moment::start(&plan).after(Stage::Bake);
}

#[test]
fn a_fixture_that_compresses_well_is_baked() {
    let mut plan = example(QUICK);
    let fixture = br#"{"id":0,"name":"","tags":[],"active":false}"#.repeat(240_000);
    let files = unpack(&plan.setup.source);
    let parts = files.iter().map(|(path, bytes)| Part::deflated(path, bytes));
    plan.setup.source =
        zip(&parts.chain([Part::deflated("tests/fixture.json", &fixture)]).collect::<Vec<_>>()).into();
    Moment::start(&plan).after(Stage::Bake);
}
