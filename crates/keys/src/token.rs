//! Ed25519 keys in PKCS#11 tokens (`CKM_EDDSA` of PKCS #11 v3.0, section 2.3).
//!
//! One session at a time signs; when the token lost it, it is opened anew once.

use crate::error::Error;
use crate::uri::Uri;
use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error as Failure, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::mechanism::eddsa::{EddsaParams, EddsaSignatureScheme};
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::Slot;
use cryptoki::types::AuthPin;
use note::{Algorithm, KeyError, Sign, Verifier};
use std::fmt;
use std::fs;
use std::sync::{Mutex, PoisonError};

/// A key in a token.
pub(crate) struct Token {
    uri: Uri,
    module: Pkcs11,
    verifier: Verifier,
    open: Mutex<Option<Open>>,
}

/// A session that is logged in, and the private key in it.
struct Open {
    session: Session,
    key: ObjectHandle,
}

impl Token {
    /// Finds the key pair and logs in.
    pub(crate) fn open(uri: &Uri, origin: &str) -> Result<Self, Error> {
        let module = load(uri)?;
        let open = Open::new(&module, uri)?;
        let public = public_key(&open.session, uri)?;
        let verifier = Verifier::new(origin, Algorithm::Ed25519, &public)?;
        let token = Self { uri: uri.clone(), module, verifier, open: Mutex::new(Some(open)) };
        // A public key of the same label need not belong to the private one.
        let signature = token.sign(PROBE)?;
        token.verifier.verify(PROBE, &signature)?;
        Ok(token)
    }

    /// Makes a key pair.
    pub(crate) fn generate(uri: &Uri, origin: &str) -> Result<Verifier, Error> {
        let module = load(uri)?;
        let slot = slot(&module, uri)?;
        let session = module.open_rw_session(slot).map_err(failed("open a session"))?;
        login(&session, uri)?;
        if !find(&session, uri, ObjectClass::PRIVATE_KEY)?.is_empty() {
            let what = format!("the token has a key with the label `{}` already", uri.object);
            return Err(Error::Token { action: "make a key", what });
        }
        let label = Attribute::Label(uri.object.clone().into_bytes());
        let public = [
            Attribute::Token(true),
            Attribute::Private(false),
            Attribute::Verify(true),
            Attribute::EcParams(ED25519_PARAMS.to_vec()),
            label.clone(),
        ];
        let private = [
            Attribute::Token(true),
            Attribute::Private(true),
            Attribute::Sensitive(true),
            Attribute::Extractable(false),
            Attribute::Sign(true),
            label,
        ];
        let made = session.generate_key_pair(&Mechanism::EccEdwardsKeyPairGen, &public, &private);
        made.map_err(failed("make a key"))?;
        let public = public_key(&session, uri)?;
        Ok(Verifier::new(origin, Algorithm::Ed25519, &public)?)
    }

    fn try_sign(&self, open: &mut Option<Open>, message: &[u8]) -> Result<Vec<u8>, Error> {
        let held = match open.take() {
            Some(held) => held,
            None => Open::new(&self.module, &self.uri)?,
        };
        let mechanism = Mechanism::Eddsa(EddsaParams::new(EddsaSignatureScheme::Pure));
        let signature = held.session.sign(&mechanism, held.key, message).map_err(failed("sign"))?;
        *open = Some(held);
        Ok(signature)
    }
}

impl Sign for Token {
    fn verifier(&self) -> &Verifier {
        &self.verifier
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        // A token that was taken out and put back has forgotten the session.
        let signed =
            self.try_sign(&mut open, message).or_else(|_| self.try_sign(&mut open, message));
        let signed = signed.map_err(|error| error.to_string());
        let whole = signed.and_then(|signature| match signature.len() {
            64 => Ok(signature),
            length => Err(format!("its signature has {length} bytes")),
        });
        whole.map_err(|what| KeyError::Unusable { name: self.verifier.name().to_owned(), what })
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token")
            .field("uri", &self.uri)
            .field("key", &self.verifier)
            .finish_non_exhaustive()
    }
}

impl Open {
    fn new(module: &Pkcs11, uri: &Uri) -> Result<Self, Error> {
        let slot = slot(module, uri)?;
        let session = module.open_ro_session(slot).map_err(failed("open a session"))?;
        login(&session, uri)?;
        let key = only(&find(&session, uri, ObjectClass::PRIVATE_KEY)?, uri, "private key")?;
        Ok(Self { session, key })
    }
}

fn load(uri: &Uri) -> Result<Pkcs11, Error> {
    let module = Pkcs11::new(&uri.module).map_err(|error| Error::Token {
        action: "load its module",
        what: format!("`{}`: {error}", uri.module.display()),
    })?;
    match module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
        // Another key of this process uses the same module.
        Err(Failure::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => {}
        initialized => initialized.map_err(failed("start its module"))?,
    }
    Ok(module)
}

fn slot(module: &Pkcs11, uri: &Uri) -> Result<Slot, Error> {
    let slots = module.get_slots_with_token().map_err(failed("list tokens"))?;
    let named = |slot: &Slot| {
        module.get_token_info(*slot).is_ok_and(|token| token.label().trim_end() == uri.token)
    };
    let found = slots.into_iter().find(named);
    let what = || format!("there is no token with the label `{}`", uri.token);
    found.ok_or_else(|| Error::Token { action: "find it", what: what() })
}

fn login(session: &Session, uri: &Uri) -> Result<(), Error> {
    let pin = match &uri.pin {
        Some(path) => {
            let read = fs::read_to_string(path);
            let read = read.map_err(|source| Error::File { path: path.clone(), source })?;
            Some(AuthPin::new(read.trim_end().to_owned().into()))
        }
        None => None,
    };
    match session.login(UserType::User, pin.as_ref()) {
        Err(Failure::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(()),
        logged_in => logged_in.map_err(failed("log in")),
    }
}

fn find(session: &Session, uri: &Uri, class: ObjectClass) -> Result<Vec<ObjectHandle>, Error> {
    let label = Attribute::Label(uri.object.clone().into_bytes());
    let template = [Attribute::Class(class), Attribute::KeyType(KeyType::EC_EDWARDS), label];
    session.find_objects(&template).map_err(failed("look for the key"))
}

fn only(found: &[ObjectHandle], uri: &Uri, what: &str) -> Result<ObjectHandle, Error> {
    match found {
        [one] => Ok(*one),
        many => {
            let (count, label) = (many.len(), &uri.object);
            let what =
                format!("there are {count} Ed25519 {what}s with the label `{label}`, not one");
            Err(Error::Token { action: "find the key", what })
        }
    }
}

fn public_key(session: &Session, uri: &Uri) -> Result<Vec<u8>, Error> {
    let key = only(&find(session, uri, ObjectClass::PUBLIC_KEY)?, uri, "public key")?;
    let attributes = session.get_attributes(key, &[AttributeType::EcPoint]);
    let attributes = attributes.map_err(failed("read the public key"))?;
    let point = attributes.into_iter().find_map(|attribute| match attribute {
        Attribute::EcPoint(point) => Some(point),
        _ => None,
    });
    // An OCTET STRING of 32 bytes, or (older modules) the bytes themselves.
    let point = point.unwrap_or_default();
    Ok(point.strip_prefix(b"\x04\x20").unwrap_or(&point).to_vec())
}

fn failed(action: &'static str) -> impl FnOnce(Failure) -> Error {
    move |error| {
        // The module's own words begin with a sentence that says it, and go on at length.
        let text = error.to_string();
        let text = text.split_once("PKCS11 error: ").map_or(text.as_str(), |(_, said)| said);
        let what = text.split(['.', ',']).next().unwrap_or(text).to_owned();
        Error::Token { action, what }
    }
}

/// Signed once at the start, to see that both halves belong together.
const PROBE: &[u8] = b"countersign: do the halves of this key belong together?";

/// The `PrintableString` "edwards25519", as PKCS #11 v3.0 section 2.3.5 allows.
const ED25519_PARAMS: &[u8] = b"\x13\x0cedwards25519";
