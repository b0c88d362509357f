//! Laying the sources over one another without forgetting who said what.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs, io,
    ops::RangeInclusive,
    path::{Path, PathBuf},
};

use toml::{Table, Value};

use crate::spelling::nearest;

use super::{Origin, Problem, Settings, SettingsError, value::Setting};

const PREFIX: &str = "SCRIPTORIUM__";

/// A value as it was written.
#[derive(Debug)]
enum Written {
    /// In a file.
    Toml(Value),
    /// In an environment variable: text, whatever the type.
    Text(String),
}

/// All sources, laid over one another.
#[derive(Debug, Default)]
pub(super) struct Layers {
    written: BTreeMap<String, (Written, Origin)>,
    problems: Vec<Problem>,
}

impl Layers {
    pub(super) fn add_file(&mut self, path: &Path) {
        match fs::read_to_string(path) {
            Ok(text) => self.add_toml(path, &text),
            Err(error) => self.broken_file(path, format!("cannot be read: {error}")),
        }
    }

    pub(super) fn add_file_if_present(&mut self, path: &Path) {
        match fs::read_to_string(path) {
            Ok(text) => self.add_toml(path, &text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => (),
            Err(error) => self.broken_file(path, format!("cannot be read: {error}")),
        }
    }

    pub(super) fn add_toml(&mut self, path: &Path, text: &str) {
        match text.parse::<Table>() {
            Ok(table) => self.add_table(path, "", table),
            Err(error) => {
                let line = error.span().map_or(1, |span| 1 + text[..span.start].matches('\n').count());
                self.broken_file(path, format!("line {line} is not TOML: {}", error.message()));
            }
        }
    }

    fn add_table(&mut self, path: &Path, prefix: &str, table: Table) {
        for (name, value) in table {
            let key = if prefix.is_empty() { name } else { format!("{prefix}.{name}") };
            if let Value::Table(inner) = value {
                // An empty section says nothing, but an unknown one is a mistake even then.
                if inner.is_empty() && !Settings::SECTIONS.contains(&key.as_str()) {
                    self.write(path, key, Value::Table(inner));
                } else {
                    self.add_table(path, &key, inner);
                }
            } else {
                self.write(path, key, value);
            }
        }
    }

    fn write(&mut self, path: &Path, key: String, value: Value) {
        self.written.insert(key, (Written::Toml(value), Origin::File(path.to_owned())));
    }

    pub(super) fn add_environment(&mut self, variables: impl IntoIterator<Item = (OsString, OsString)>) {
        let mut ours = BTreeMap::new();
        for (name, value) in variables {
            let Ok(name) = name.into_string() else { continue };
            let key = match name.strip_prefix(PREFIX) {
                Some(path) => path.to_lowercase().replace("__", "."),
                None if name == "DATABASE_URL" => "database.url".to_owned(),
                None if looks_like_ours(&name) => {
                    self.problems.push(misnamed(name));
                    continue;
                }
                None => continue,
            };
            match value.into_string() {
                // `DATABASE_URL` comes first in this order: our own variable wins over the common one.
                Ok(text) => drop(ours.insert(name, (key, text))),
                Err(_) => self.problems.push(Problem {
                    key,
                    origin: Origin::Variable(name),
                    message: "must be UTF-8".to_owned(),
                }),
            }
        }
        for (name, (key, text)) in ours {
            self.written.insert(key, (Written::Text(text), Origin::Variable(name)));
        }
    }

    fn broken_file(&mut self, path: &Path, message: String) {
        self.problems.push(Problem { key: String::new(), origin: Origin::File(PathBuf::from(path)), message });
    }
}

/// Hands the values out key by key. What nobody asked for does not exist.
pub(super) struct Reader {
    layers: Layers,
    origins: BTreeMap<String, Origin>,
}

impl Reader {
    pub(super) fn new(layers: Layers) -> Self {
        Self { layers, origins: BTreeMap::new() }
    }

    /// The value of `key`; `None` where nobody wrote one, and where it makes no sense, which is noted.
    pub(super) fn take<T: Setting>(&mut self, key: &str) -> Option<T> {
        self.read(key, T::ALLOWED, |_: &T| true)
    }

    /// Like [`Self::take`], within `range`.
    pub(super) fn take_in<T: Setting + PartialOrd>(&mut self, key: &str, range: RangeInclusive<T>) -> Option<T> {
        let allowed = format!("{}, from {} to {}", T::ALLOWED, range.start().show(), range.end().show());
        self.read(key, &allowed, |value| range.contains(value))
    }

    fn read<T: Setting>(&mut self, key: &str, allowed: &str, fits: impl Fn(&T) -> bool) -> Option<T> {
        let (written, origin) = self.layers.written.remove(key)?;
        self.origins.insert(key.to_owned(), origin);
        let value = match &written {
            Written::Toml(value) => T::from_value(value),
            Written::Text(text) => T::from_text(text),
        };
        let value = value.filter(fits);
        if value.is_none() {
            self.wrong(key, format!("must be {allowed}"));
        }
        value
    }

    /// Notes that the value of `key` is wrong.
    pub(super) fn wrong(&mut self, key: &str, message: String) {
        let origin = self.origins.get(key).cloned().unwrap_or(Origin::Default);
        self.layers.problems.push(Problem { key: key.to_owned(), origin, message });
    }

    /// Everything that was wrong, with the keys that nobody asked for.
    pub(super) fn finish(mut self) -> Result<(), SettingsError> {
        for (key, (_, origin)) in std::mem::take(&mut self.layers.written) {
            let message = unknown(&key);
            self.layers.problems.push(Problem { key, origin, message });
        }
        let problems = self.layers.problems;
        if problems.is_empty() { Ok(()) } else { Err(SettingsError { problems }) }
    }
}

/// Whether an operator may have meant a setting by this variable: it has our prefix with one underscore. Kubernetes gives
/// such variables to all its containers beside a service that is called `scriptorium`; those are its own.
fn looks_like_ours(name: &str) -> bool {
    let Some(rest) = name.strip_prefix("SCRIPTORIUM_") else { return false };
    let is_of_kubernetes = rest.starts_with("SERVICE_HOST")
        || rest.starts_with("SERVICE_PORT")
        || rest == "PORT"
        || rest.strip_prefix("PORT_").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    !is_of_kubernetes
}

/// Says how the variable of a setting is written.
fn misnamed(name: String) -> Problem {
    let wanted = name.trim_start_matches("SCRIPTORIUM_");
    let example = match nearest(wanted, Settings::KEYS.iter().copied()) {
        Some(key) => format!("did you mean {}?", variable(key)),
        None => format!("it would be written like {}", variable("server.listen")),
    };
    let message = format!("is not a setting: two underscores stand after SCRIPTORIUM and before the key; {example}");
    Problem { key: String::new(), origin: Origin::Variable(name), message }
}

/// The environment variable of a key.
fn variable(key: &str) -> String {
    format!("{PREFIX}{}", key.to_uppercase().replace('.', "__"))
}

/// Says that `key` does not exist, and which does.
fn unknown(key: &str) -> String {
    if Settings::SECTIONS.contains(&key) {
        return format!("is a section; its keys are {}", keys_of(key));
    }
    let nearest = nearest(key, Settings::KEYS.iter().copied());
    if let Some(nearest) = nearest {
        return format!("is not a setting; did you mean {nearest}?");
    }
    match key.split('.').next() {
        Some(section) if Settings::SECTIONS.contains(&section) => {
            format!("is not a setting; the keys of {section} are {}", keys_of(section))
        }
        _ => format!("is not a setting; the sections are {}", Settings::SECTIONS.join(", ")),
    }
}

fn keys_of(section: &str) -> String {
    let keys = Settings::KEYS.iter().filter_map(|key| key.strip_prefix(section)?.strip_prefix('.'));
    keys.collect::<Vec<_>>().join(", ")
}
