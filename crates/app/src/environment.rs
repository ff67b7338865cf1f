//! The only place that reads the environment.

use std::path::{Path, PathBuf};

/// The variables of these names that are set, and are text.
pub(crate) fn variables(names: &[String]) -> Vec<(String, String)> {
    names.iter().filter_map(|name| Some((name.clone(), variable(name)?))).collect()
}

/// The variable in which the configuration says that a secret is.
pub(crate) fn secret(name: &str) -> Option<String> {
    variable(name)
}

/// All variables that are text.
pub(crate) fn all() -> Vec<(String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

/// The directory for data of this user's programs (XDG base directory specification).
pub(crate) fn data_directory() -> Option<PathBuf> {
    let absolute = |name: &str| variable(name).map(PathBuf::from).filter(|p| p.is_absolute());
    absolute("XDG_DATA_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local").join("share")))
        .map(|data| data.join("countersign"))
}

/// The user's home directory.
pub(crate) fn home() -> Option<PathBuf> {
    let named = if cfg!(windows) { "USERPROFILE" } else { "HOME" };
    variable(named).map(PathBuf::from).filter(|path| path.is_absolute())
}

/// Where programs with windows keep their settings on this system.
pub(crate) fn settings_directory(home: &Path) -> PathBuf {
    let absolute = |name: &str| variable(name).map(PathBuf::from).filter(|p| p.is_absolute());
    if cfg!(target_os = "macos") {
        home.join("Library").join("Application Support")
    } else if cfg!(windows) {
        absolute("APPDATA").unwrap_or_else(|| home.join("AppData").join("Roaming"))
    } else {
        absolute("XDG_CONFIG_HOME").unwrap_or_else(|| home.join(".config"))
    }
}

/// The file of this program, to start it again.
///
/// # Errors
/// When the system does not tell.
pub(crate) fn own_program() -> std::io::Result<PathBuf> {
    std::env::current_exe()
}

/// The file of this program as it runs, to read it: where the system shows that, even if another file
/// is there by now.
///
/// # Errors
/// When it cannot be opened.
pub(crate) fn own_program_file() -> std::io::Result<std::fs::File> {
    std::fs::File::open("/proc/self/exe").or_else(|_| std::fs::File::open(own_program()?))
}

/// The filter for log lines, `COUNTERSIGN_LOG`, as in `info,gateway=debug`.
pub(crate) fn log_filter() -> Option<String> {
    variable("COUNTERSIGN_LOG")
}

#[expect(clippy::disallowed_methods, reason = "this is the place that reads the environment")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
