//! A folder packed as CodePipeline would pack it: the source artifact of a rehearsal.

use std::path::{Path, PathBuf};

use crate::artifact::{ArchiveWriter, EntryPath, Finished};
use crate::cli::exit::CliError;
use crate::engine::error::with_causes;

/// Folders that are never part of a release: version control, builds, and what rehearsals leave.
const LEFT_OUT: [&str; 4] = [".git", "target", "node_modules", ".bakeline"];
/// Files of a folder larger than this are surely not meant.
const MOST_FILES: usize = 10_000;

/// Packs a folder.
pub fn pack(folder: &Path) -> Result<Finished, CliError> {
    let mut files = Vec::new();
    collect(folder, &mut files)?;
    files.sort();
    let mut writer = ArchiveWriter::new().map_err(|error| CliError::unavailable(with_causes(&error), ""))?;
    for path in files {
        let shown = path.display().to_string();
        let refused = |why: String| {
            CliError::data(format!("{shown}: {why}"), "rename it, or keep it out of the release's folder")
        };
        let inside = path.strip_prefix(folder).map_err(|error| CliError::bug(error.to_string()))?;
        let name = inside.to_str().ok_or_else(|| refused("the name is not UTF-8".into()))?.replace('\\', "/");
        let entry = EntryPath::new(name).map_err(|fault| refused(fault.to_string()))?;
        let file = std::fs::File::open(&path).map_err(|error| refused(error.to_string()))?;
        writer.add_reader(&entry, file).map_err(|error| refused(with_causes(&error)))?;
    }
    writer.finish().map_err(|error| CliError::unavailable(with_causes(&error), ""))
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), CliError> {
    let unreadable = |error: std::io::Error| CliError::data(format!("{}: {error}", folder.display()), "");
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let kind = entry.file_type().map_err(unreadable)?;
        let name = entry.file_name();
        if kind.is_dir() && !LEFT_OUT.iter().any(|out| name == *out) {
            collect(&entry.path(), files)?;
        } else if kind.is_file() {
            files.push(entry.path());
        }
        if files.len() > MOST_FILES {
            return Err(CliError::data(
                format!("{} holds more than {MOST_FILES} files", folder.display()),
                "name the bakeline.yaml of a release's own folder",
            ));
        }
    }
    Ok(())
}
