//! ext4 file systems inside files.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

const IMAGE_BYTES: u64 = 512 << 20;

/// A file with a file system in it.
pub(crate) struct Image {
    folder: TempDir,
}

/// A mounted image; unmounted when dropped.
pub(crate) struct Mounted {
    mount_point: TempDir,
}

impl Image {
    /// Makes an empty file system. The error says why that is not possible here.
    pub(crate) fn create() -> Result<Self, String> {
        let image = Self { folder: folder() };
        let file = std::fs::File::create(image.path()).map_err(|error| error.to_string())?;
        file.set_len(IMAGE_BYTES).map_err(|error| error.to_string())?;
        run("mkfs.ext4", &["-q", "-F", text(&image.path())])?;
        Ok(image)
    }

    /// Copies what is on the disk, of a file system that may be in use.
    pub(crate) fn copy(&self) -> Self {
        let copy = Self { folder: folder() };
        // Sparse, because nearly all of it is holes.
        run("cp", &["--sparse=always", text(&self.path()), text(&copy.path())]).expect("copying the image");
        copy
    }

    pub(crate) fn mount(&self) -> Result<Mounted, String> {
        let mount_point = folder();
        // The file system writes nothing by itself: what is on the disk was synced.
        run("mount", &["-o", "loop,commit=300", text(&self.path()), text(mount_point.path())])?;
        Ok(Mounted { mount_point })
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("image")
    }
}

impl Mounted {
    pub(crate) fn path(&self) -> &Path {
        self.mount_point.path()
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // Lazily, because a killed process may not be gone yet.
        if let Err(reason) = run("umount", &["-l", text(self.mount_point.path())]) {
            println!("{reason}");
        }
    }
}

/// In memory where possible: what reaches the image counts, and not how long the disk below takes.
fn folder() -> TempDir {
    let in_memory = tempfile::tempdir_in("/dev/shm");
    in_memory.or_else(|_| tempfile::tempdir()).expect("a folder")
}

fn text(path: &Path) -> &str {
    path.to_str().expect("temporary folders have plain names")
}

fn run(command: &str, arguments: &[&str]) -> Result<(), String> {
    match Command::new(command).args(arguments).output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(format!("{command}: {}", String::from_utf8_lossy(&output.stderr).trim())),
        Err(error) => Err(format!("{command}: {error}")),
    }
}
