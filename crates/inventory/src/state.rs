//! The file form of what is known: versioned JSON, read strictly. It refuses to guess: a file that does
//! not fit is an error, as an inventory that forgot would trust what is new.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::definition::Definition;
use crate::inventory::{Entry, Inventory, List, Settings};
use crate::kind::{kind_from_word, kind_word};

/// A state that cannot be read.
#[derive(Debug, Error)]
pub enum Unreadable {
    /// It is not JSON, or not of this form.
    #[error("it is not an inventory: {0}")]
    Form(String),
    /// It was written by another version of the program.
    #[error("it has version {0}; this program reads version {VERSION}")]
    Version(u32),
}

#[derive(Serialize, Deserialize)]
struct Versioned {
    version: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: u32,
    lists: Vec<FiledList>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FiledList {
    server: String,
    kind: String,
    known: bool,
    items: BTreeMap<String, FiledEntry>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FiledEntry {
    accepted: Vec<Definition>,
    shown: Vec<Definition>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    gone: bool,
}

impl Inventory {
    /// The state as the bytes of a file.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        let lists = self.lists.iter().map(|((server, kind), list)| FiledList {
            server: server.clone(),
            kind: kind_word(*kind).to_owned(),
            known: list.known,
            items: list
                .items
                .iter()
                .map(|(name, entry)| (name.to_string(), filed(entry)))
                .collect(),
        });
        let file = File { version: VERSION, lists: lists.collect() };
        // Nothing in it can fail to be written: keys are texts, and there are no numbers but the version.
        serde_json::to_vec_pretty(&file).unwrap_or_default()
    }

    /// Reads what [`Inventory::to_json`] wrote.
    ///
    /// # Errors
    /// [`Unreadable`].
    pub fn from_json(bytes: &[u8], settings: Settings) -> Result<Self, Unreadable> {
        let form = |error: serde_json::Error| Unreadable::Form(error.to_string());
        let Versioned { version } = serde_json::from_slice(bytes).map_err(form)?;
        if version != VERSION {
            return Err(Unreadable::Version(version));
        }
        let file: File = serde_json::from_slice(bytes).map_err(form)?;
        let mut inventory = Self::new(settings);
        for list in file.lists {
            let kind = kind_from_word(&list.kind)
                .ok_or_else(|| Unreadable::Form(format!("there is no kind `{}`", list.kind)))?;
            let items = list.items.into_iter().map(|(name, entry)| (Arc::from(name), read(entry)));
            let items = items.collect();
            let known = list.known;
            let key = (list.server, kind);
            if inventory.lists.contains_key(&key) {
                return Err(Unreadable::Form(format!("server `{}` stands twice in it", key.0)));
            }
            inventory.lists.insert(key, List { items, known, ..List::default() });
        }
        Ok(inventory)
    }
}

fn filed(entry: &Entry) -> FiledEntry {
    let Entry { accepted, shown, gone } = entry.clone();
    FiledEntry { accepted, shown, gone }
}

fn read(entry: FiledEntry) -> Entry {
    let FiledEntry { accepted, shown, gone } = entry;
    Entry { accepted, shown, gone }
}

const VERSION: u32 = 1;
