//! A folder packed as CodePipeline would pack it: the source artifact of a rehearsal.

use std::ffi::OsStr;
use std::fs::FileType;
use std::path::{Path, PathBuf};

use crate::artifact::{ArchiveWriter, EntryPath, Finished};
use crate::cli::exit::CliError;
use crate::engine::error::with_causes;

/// Folders that are never part of a release: version control, builds, and what rehearsals leave.
const LEFT_OUT: [&str; 4] = [".git", "target", "node_modules", ".bakeline"];
/// Files of a folder larger than this are surely not meant.
const MOST_FILES: usize = 10_000;

/// What of a folder goes into its archive.
struct Found {
    path: PathBuf,
    is_link: bool,
}

/// The folder to pack and the path of a spec in it: its own folder, unless a root above it is named.
pub fn root_and_spec(spec: &Path, root: Option<&Path>) -> Result<(PathBuf, String), CliError> {
    let own = spec.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let root = root.unwrap_or(own);
    let outside = |why: String| {
        CliError::usage(
            format!("{} is not a file below the root {}: {why}", spec.display(), root.display()),
            "name with --root the folder that is the source artifact in the pipeline",
        )
    };
    let real = |folder: &Path| {
        folder.canonicalize().map_err(|error| outside(format!("{}: {error}", folder.display())))
    };
    let name = spec.file_name().ok_or_else(|| outside("it has no file name".to_owned()))?;
    let file = real(own)?.join(name);
    let root_path = real(root)?;
    let inside = file
        .strip_prefix(&root_path)
        .map_err(|_| outside(format!("it is in {}", file.parent().unwrap_or(own).display())))?;
    let parts: Option<Vec<&str>> = inside.components().map(|part| part.as_os_str().to_str()).collect();
    let inside = parts.ok_or_else(|| outside("its path is not UTF-8".to_owned()))?.join("/");
    Ok((root.to_owned(), inside))
}

/// Packs a folder. Symbolic links are packed as links, as version control holds them.
pub fn pack(folder: &Path) -> Result<Finished, CliError> {
    let mut files = Vec::new();
    collect(folder, &mut files)?;
    files.sort_by(|a, b| a.path.cmp(&b.path));
    let mut writer =
        ArchiveWriter::of_source().map_err(|error| CliError::unavailable(with_causes(&error), ""))?;
    for Found { path, is_link } in files {
        let shown = path.display().to_string();
        let refused = |why: String| {
            CliError::data(format!("{shown}: {why}"), "rename it, or keep it out of the release's folder")
        };
        let inside = path.strip_prefix(folder).map_err(|error| CliError::bug(error.to_string()))?;
        let name = inside.to_str().ok_or_else(|| refused("the name is not UTF-8".into()))?.replace('\\', "/");
        let entry = EntryPath::new(name).map_err(|fault| refused(fault.to_string()))?;
        let added = if is_link {
            let target = std::fs::read_link(&path).map_err(|error| refused(error.to_string()))?;
            let target = target.to_str().ok_or_else(|| refused("its target is not UTF-8".into()))?;
            writer.add_link(&entry, target.as_bytes())
        } else {
            writer.add_reader(&entry, std::fs::File::open(&path).map_err(|error| refused(error.to_string()))?)
        };
        added.map_err(|error| refused(with_causes(&error)))?;
    }
    writer.finish().map_err(|error| CliError::unavailable(with_causes(&error), ""))
}

fn collect(folder: &Path, files: &mut Vec<Found>) -> Result<(), CliError> {
    let unreadable = |error: std::io::Error| CliError::data(format!("{}: {error}", folder.display()), "");
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let kind = entry.file_type().map_err(unreadable)?;
        let name = entry.file_name();
        if is_left_out(&name, kind) {
            continue;
        }
        let path = entry.path();
        if kind.is_dir() {
            collect(&path, files)?;
        } else if kind.is_file() || kind.is_symlink() {
            files.push(Found { path, is_link: kind.is_symlink() });
        } else {
            // The worker refuses an artifact with one.
            return Err(CliError::data(
                format!("{} is neither a file, a folder nor a symbolic link", path.display()),
                "keep it out of the release's folder",
            ));
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

fn is_left_out(name: &OsStr, kind: FileType) -> bool {
    kind.is_dir() && LEFT_OUT.iter().any(|out| name == *out)
}
