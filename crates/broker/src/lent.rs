//! A credential in the hands of one call: it can be put on the request, and told about by its digest.

use crate::cache::Issued;
use crate::provider::{Place, Provider};
use event::{CacheUse, Credential};
use http::{HeaderMap, HeaderValue};
use std::sync::Arc;
use std::time::Instant;
use zeroize::Zeroizing;

/// A credential for one call.
#[derive(Debug, Clone)]
pub struct Lent {
    pub(crate) provider: Arc<Provider>,
    pub(crate) issued: Arc<Issued>,
    pub(crate) cache: CacheUse,
}

impl Lent {
    /// Puts the credential into the headers of a request, in the place of whatever is there by the same
    /// name.
    pub fn dress(&self, headers: &mut HeaderMap) {
        let Place::Header { name, scheme } = &self.provider.place else { return };
        headers.remove(name);
        let value = self.issued.value.expose();
        let text = if scheme.is_empty() {
            Zeroizing::new(value.to_owned())
        } else {
            Zeroizing::new(format!("{scheme} {value}"))
        };
        // It was looked at when it was issued, and is a value.
        if let Ok(mut value) = HeaderValue::from_str(&text) {
            value.set_sensitive(true);
            headers.insert(name, value);
        }
    }

    /// The variable for a local program, and its value.
    #[must_use]
    pub fn variable(&self) -> Option<(&str, &str)> {
        match &self.provider.place {
            Place::Variable(name) => Some((name, self.issued.value.expose())),
            Place::Header { .. } => None,
        }
    }

    /// What the record of the call says of it. A local program got its own when it started, and nobody
    /// can say which one that was.
    #[must_use]
    pub fn on_record(&self) -> Option<Credential> {
        match self.provider.place {
            Place::Variable(_) => None,
            Place::Header { .. } => Some(Credential {
                cache: self.cache,
                provider: self.provider.name.clone(),
                sha256: self.issued.sha256.clone(),
                provider_type: self.provider.provider_type.as_str().to_owned(),
            }),
        }
    }

    /// The server did not take it: the next call gets another one.
    pub fn reject(&self, now: Instant) {
        self.issued.reject(now);
    }
}
