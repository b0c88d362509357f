//! What is wrong with the settings, in words that help.

use std::{fmt, path::PathBuf};

/// Where a value was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nowhere: it is the default.
    Default,
    /// In a file.
    File(PathBuf),
    /// In an environment variable.
    Variable(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("the defaults"),
            Self::File(path) => path.display().fmt(f),
            Self::Variable(name) => write!(f, "the environment variable {name}"),
        }
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The key that it is about; empty where a whole file is.
    pub key: String,
    /// Where it was written.
    pub origin: Origin,
    /// What is wrong, and what is allowed.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, origin, message } = self;
        if key.is_empty() { write!(f, "{origin}: {message}") } else { write!(f, "{key} (in {origin}): {message}") }
    }
}

/// Why the service does not start: one problem or more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingsError {
    /// All of them.
    pub problems: Vec<Problem>,
}

impl std::error::Error for SettingsError {}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the settings are not usable")?;
        self.problems.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}
