//! Marks of the architecture's test points.
//!
//! `spec/testpoints.toml` lists what can be observed of an SMMU, one statement a point. A test that
//! holds a point bears its mark behind the assertions, so that the mark is left only where they
//! held. Where the variable [`FOLDER`] names a folder, every mark that is passed is noted there, and
//! a house test finds the points whose mark did not run.
//!
//! ```
//! use smmu_testpoint::testpoint;
//!
//! assert_eq!(1 + 1, 2);
//! testpoint!(18, 19);
//! ```

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::{env, process, thread};

/// The environment variable that names the folder for marks.
pub const FOLDER: &str = "SMMULATOR_TESTPOINTS";

/// Marks that the assertions above hold these points of `spec/testpoints.toml`.
#[macro_export]
macro_rules! testpoint {
    ($($number:literal),+ $(,)?) => {
        $($crate::hold($number, file!());)+
    };
}

/// Notes a mark, where marks are asked for: the point, the file, and the test, which is the name of
/// its thread.
///
/// # Panics
/// If the mark cannot be written: it would be missed.
pub fn hold(point: u16, file: &str) {
    if let Some(folder) = env::var_os(FOLDER) {
        let thread = thread::current();
        let line = format!("{point} {file} {}\n", thread.name().unwrap_or("?"));
        write(Path::new(&folder), &line).expect("a mark can be noted");
    }
}

/// A process has a file of its own, and a line is written at once.
fn write(folder: &Path, line: &str) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    let path = folder.join(format!("{}.marks", process::id()));
    OpenOptions::new().create(true).append(true).open(path)?.write_all(line.as_bytes())
}

/// The points whose marks were noted in a folder, each line as [`hold`] wrote it.
///
/// # Errors
/// A folder that cannot be read.
pub fn marks(folder: &Path) -> std::io::Result<Vec<(u16, String)>> {
    let mut marks = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let text = std::fs::read_to_string(entry?.path())?;
        marks.extend(text.lines().filter_map(|line| {
            let (point, test) = line.split_once(' ')?;
            Some((point.parse().ok()?, test.to_owned()))
        }));
    }
    Ok(marks)
}
