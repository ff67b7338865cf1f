//! A disk in memory that fails on command and forgets what was not synced:
//! for tests, of this crate and of those above it.
//!
//! Knows nothing of what the bytes mean.

use crate::storage::gate::Gate;
use crate::storage::inode::{Inode, Survival, mix};
use crate::storage::{Access, Claim, LOCK, PUT_TEMPORARY, Storage, StoredFile};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// An in-memory directory. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    state: Arc<Mutex<State>>,
    gate: Arc<Gate>,
}

/// One operation that goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// Which changing operation, counted from 0 since the storage was made.
    pub operation: u64,
    /// How it goes wrong.
    pub kind: FaultKind,
    /// Whether every later changing operation fails too.
    pub lasting: bool,
}

/// How an operation goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// An error, and nothing happened.
    NotPersisted,
    /// An error, but all of it happened and is durable.
    Persisted,
    /// An error, and half of it is durable.
    Torn,
    /// A write that takes half of the bytes and reports no error; for the
    /// other operations the same as [`FaultKind::Torn`].
    Short,
    /// "No space left on device", and nothing happened.
    NoSpace,
}

impl Memory {
    /// Lets one later operation fail, and no other.
    pub fn plan(&self, fault: Fault) {
        self.state().faults = vec![fault];
    }

    /// Lets one more later operation fail.
    pub fn plan_another(&self, fault: Fault) {
        self.state().faults.push(fault);
    }

    /// How many changing operations there were.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.state().operations
    }

    /// Stops the machine. This storage answers errors from now on; the one
    /// returned has what survived.
    #[must_use]
    pub fn crash(&self, survival: Survival) -> Self {
        let survivor = self.copy(survival);
        self.state().dead = true;
        survivor
    }

    /// What [`Memory::crash`] would leave now. This storage goes on.
    #[must_use]
    pub fn copy(&self, survival: Survival) -> Self {
        let old = self.state();
        let mut new = State { dirs: old.dirs.clone(), ..State::default() };
        for (path, inode) in old.surviving_names(survival) {
            if let Some(found) = old.inodes.get(inode) {
                let number = u64::try_from(inode).unwrap_or(0);
                for (at, _) in path.match_indices('/') {
                    new.dirs.extend(path.get(..at).map(str::to_owned));
                }
                new.names.insert(path, new.inodes.len());
                new.inodes.push(Inode::settled(found.after_crash(survival, number)));
            }
        }
        new.durable_names = new.names.clone();
        Self { state: Arc::new(Mutex::new(new)), gate: Arc::default() }
    }

    /// Takes a name away, as `rm` in another process does.
    pub fn unlink(&self, path: &str) {
        self.state().names.remove(path);
    }

    /// Puts an equal copy in place of a file, as an editor does.
    pub fn replace(&self, path: &str) {
        let mut state = self.state();
        let copy = state.inode_at(path).map(|inode| Inode::settled(inode.live.clone()));
        if let Ok(copy) = copy {
            let number = state.inodes.len();
            state.inodes.push(copy);
            state.names.insert(path.to_owned(), number);
        }
    }

    /// Flips bits of one byte of a file, durably.
    pub fn flip(&self, path: &str, offset: u64, bits: u8) {
        let mut state = self.state();
        if let Ok(inode) = state.inode_at_mut(path) {
            for bytes in [&mut inode.live, &mut inode.durable] {
                if let Some(byte) = usize::try_from(offset).ok().and_then(|at| bytes.get_mut(at)) {
                    *byte ^= bits;
                }
            }
        }
    }

    /// Sets what [`Storage::free_bytes`] answers; at first without limit.
    pub fn set_free_bytes(&self, bytes: u64) {
        self.state().free_bytes = Some(bytes);
    }

    /// Sets what [`Storage::is_read_only`] answers.
    pub fn set_read_only(&self, read_only: bool) {
        self.state().read_only = read_only;
    }

    /// Lets every sync hang from now on, until [`Memory::release_syncs`].
    pub fn hold_syncs(&self) {
        self.gate.hold();
    }

    /// Waits until a sync hangs.
    pub fn wait_for_held_sync(&self) {
        self.gate.wait_for_one();
    }

    /// Lets those go that hang.
    pub fn release_syncs(&self) {
        self.gate.release();
    }

    /// Writes every file to a real directory.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn copy_to(&self, dir: &Path) -> io::Result<()> {
        let state = self.state();
        for name in &state.dirs {
            fs::create_dir_all(dir.join(name))?;
        }
        for (path, inode) in &state.names {
            if let Some(inode) = state.inodes.get(*inode) {
                fs::write(dir.join(path), &inode.live)?;
            }
        }
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Storage for Memory {
    fn lock(&self) -> io::Result<Option<Box<dyn Claim>>> {
        let mut state = self.state();
        state.alive()?;
        let inode = state.number(LOCK)?;
        if state.locked {
            return Ok(None);
        }
        state.locked = true;
        Ok(Some(Box::new(MemoryClaim { memory: self.clone(), inode })))
    }

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        let state = self.state();
        state.alive()?;
        if !dir.is_empty() && !state.dirs.contains(dir) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let prefix = if dir.is_empty() { String::new() } else { format!("{dir}/") };
        let paths = state.names.keys().chain(&state.dirs);
        let below = paths.filter_map(|path| path.strip_prefix(&prefix));
        let names: BTreeSet<&str> = below.filter_map(|rest| rest.split('/').next()).collect();
        Ok(names.into_iter().filter(|name| !name.is_empty()).map(str::to_owned).collect())
    }

    fn make_dir(&self, dir: &str) -> io::Result<()> {
        self.state().change(|state| {
            let mut path = String::new();
            for name in dir.split('/').filter(|name| !name.is_empty()) {
                if !path.is_empty() {
                    path.push('/');
                }
                path.push_str(name);
                state.dirs.insert(path.clone());
            }
            Ok(())
        })
    }

    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        let state = self.state();
        state.alive()?;
        Ok(state.inode_at(path)?.live.clone())
    }

    fn put(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.state();
        if state.strikes_torn() {
            let half = bytes.get(..bytes.len() / 2).unwrap_or_default().to_vec();
            state.add(PUT_TEMPORARY, Inode::settled(half));
        }
        state.change(|state| {
            state.add(path, Inode::settled(bytes.to_vec()));
            Ok(())
        })
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        self.state().change(|state| {
            let inside = |path: &String| path.rsplit_once('/').map_or("", |(dir, _)| dir) == dir;
            state.durable_names.retain(|path, _| !inside(path));
            let fresh = state.names.iter().filter(|(path, _)| inside(path));
            state.durable_names.extend(fresh.map(|(path, inode)| (path.clone(), *inode)));
            Ok(())
        })
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        self.state().change(|state| {
            let inside = format!("{path}/");
            let mine = |name: &String| name == path || name.starts_with(&inside);
            let before = state.names.len() + state.dirs.len();
            state.names.retain(|name, _| !mine(name));
            state.dirs.retain(|name| !mine(name));
            let removed = state.names.len() + state.dirs.len() < before;
            if removed { Ok(()) } else { Err(io::ErrorKind::NotFound.into()) }
        })
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.state().change(|state| {
            let inode = state.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
            state.names.insert(to.to_owned(), inode);
            Ok(())
        })
    }

    fn create_zeroed(&self, path: &str, length: u64) -> io::Result<()> {
        let length = usize::try_from(length).map_err(io::Error::other)?;
        let mut state = self.state();
        if state.names.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        if state.strikes_torn() {
            state.add(path, Inode::settled(vec![0; length / 2]));
        }
        state.change(|state| {
            state.add(path, Inode::settled(vec![0; length]));
            Ok(())
        })
    }

    fn open(&self, path: &str, access: Access) -> io::Result<Arc<dyn StoredFile>> {
        let state = self.state();
        state.alive()?;
        let inode = state.number(path)?;
        Ok(Arc::new(MemoryFile { memory: self.clone(), inode, access }))
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let state = self.state();
        state.alive()?;
        Ok(state.free_bytes.unwrap_or(u64::MAX))
    }

    fn is_read_only(&self) -> io::Result<bool> {
        let state = self.state();
        state.alive()?;
        Ok(state.read_only)
    }
}

#[derive(Debug)]
struct MemoryFile {
    memory: Memory,
    inode: usize,
    access: Access,
}

impl StoredFile for MemoryFile {
    fn length(&self) -> io::Result<u64> {
        let mut state = self.memory.state();
        state.alive()?;
        u64::try_from(state.inode(self.inode)?.live.len()).map_err(io::Error::other)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut state = self.memory.state();
        state.alive()?;
        let offset = usize::try_from(offset).map_err(io::Error::other)?;
        let rest = state.inode(self.inode)?.live.get(offset..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        for (to, from) in buffer.iter_mut().zip(rest) {
            *to = *from;
        }
        Ok(count)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        if self.access == Access::Read {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        let inode = self.inode;
        let mut state = self.memory.state();
        let half = bytes.get(..bytes.len() / 2).unwrap_or_default();
        match state.strikes() {
            Some(FaultKind::Short) => {
                state.operations += 1;
                state.inode(inode)?.write(half, offset)?;
                return Ok(half.len());
            }
            Some(FaultKind::Torn) => {
                let inode = state.inode(inode)?;
                inode.write(half, offset)?;
                inode.settle();
            }
            Some(FaultKind::Persisted) => {
                let inode = state.inode(inode)?;
                inode.write(bytes, offset)?;
                inode.settle();
            }
            _ => {}
        }
        state.change(|state| state.inode(inode)?.write(bytes, offset))?;
        Ok(bytes.len())
    }

    fn sync(&self) -> io::Result<()> {
        self.memory.gate.pass();
        let number = self.inode;
        let mut state = self.memory.state();
        let fault = state.strikes();
        let synced = state.change(|state| {
            state.inode(number)?.settle();
            Ok(())
        });
        if synced.is_err() {
            let inode = state.inode(number)?;
            if matches!(fault, Some(FaultKind::Torn | FaultKind::Short)) {
                inode.durable = inode.after_crash(Survival::Holes, 0);
            }
            // As Linux does: what could not be written counts as written, is
            // still read, and the next sync does not try it again.
            inode.unsynced.clear();
        }
        synced
    }

    fn is_at(&self, path: &str) -> io::Result<bool> {
        let state = self.memory.state();
        state.alive()?;
        Ok(state.is_only_name(path, self.inode))
    }
}

#[derive(Debug)]
struct MemoryClaim {
    memory: Memory,
    inode: usize,
}

impl Claim for MemoryClaim {
    fn holds(&self) -> io::Result<bool> {
        let state = self.memory.state();
        state.alive()?;
        Ok(state.is_only_name(LOCK, self.inode))
    }
}

impl Drop for MemoryClaim {
    fn drop(&mut self) {
        self.memory.state().locked = false;
    }
}

#[derive(Debug, Default)]
struct State {
    dead: bool,
    locked: bool,
    inodes: Vec<Inode>,
    /// What a process sees.
    names: BTreeMap<String, usize>,
    /// What a crash leaves.
    durable_names: BTreeMap<String, usize>,
    dirs: BTreeSet<String>,
    faults: Vec<Fault>,
    operations: u64,
    free_bytes: Option<u64>,
    read_only: bool,
}

impl State {
    fn surviving_names(&self, survival: Survival) -> BTreeMap<String, usize> {
        match survival {
            Survival::Nothing | Survival::FirstHalf => self.durable_names.clone(),
            Survival::Everything | Survival::Holes => self.names.clone(),
            Survival::Random(seed) => {
                let paths: BTreeSet<&String> =
                    self.names.keys().chain(self.durable_names.keys()).collect();
                let survives = |path: &&String| {
                    let mixed = path.bytes().fold(seed, |mixed, byte| mix(mixed, byte.into()));
                    let names = if mixed & 1 == 0 { &self.names } else { &self.durable_names };
                    names.get(*path).map(|inode| ((*path).clone(), *inode))
                };
                paths.iter().filter_map(survives).collect()
            }
        }
    }

    fn alive(&self) -> io::Result<()> {
        if self.dead { Err(broken()) } else { Ok(()) }
    }

    /// The fault that strikes the operation that comes next.
    fn strikes(&self) -> Option<FaultKind> {
        let strikes = |fault: &&Fault| {
            let now = self.operations == fault.operation;
            now || fault.lasting && fault.operation < self.operations
        };
        self.faults.iter().find(strikes).map(|fault| fault.kind)
    }

    fn strikes_torn(&self) -> bool {
        matches!(self.strikes(), Some(FaultKind::Torn | FaultKind::Short))
    }

    /// Runs one changing operation, or what the planned fault leaves of it.
    fn change(&mut self, work: impl FnOnce(&mut Self) -> io::Result<()>) -> io::Result<()> {
        self.alive()?;
        let fault = self.strikes();
        self.operations += 1;
        match fault {
            None => work(self),
            Some(FaultKind::Persisted) => {
                work(self)?;
                Err(broken())
            }
            Some(FaultKind::NoSpace) => Err(io::ErrorKind::StorageFull.into()),
            Some(FaultKind::NotPersisted | FaultKind::Torn | FaultKind::Short) => Err(broken()),
        }
    }

    fn add(&mut self, path: &str, inode: Inode) {
        self.names.insert(path.to_owned(), self.inodes.len());
        self.inodes.push(inode);
    }

    fn number(&self, path: &str) -> io::Result<usize> {
        self.names.get(path).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn inode(&mut self, number: usize) -> io::Result<&mut Inode> {
        self.inodes.get_mut(number).ok_or_else(broken)
    }

    fn inode_at(&self, path: &str) -> io::Result<&Inode> {
        self.inodes.get(self.number(path)?).ok_or_else(broken)
    }

    fn inode_at_mut(&mut self, path: &str) -> io::Result<&mut Inode> {
        let number = self.number(path)?;
        self.inode(number)
    }

    fn is_only_name(&self, path: &str, inode: usize) -> bool {
        let names: Vec<_> = self.names.iter().filter(|(_, number)| **number == inode).collect();
        matches!(names.as_slice(), [(name, _)] if name.as_str() == path)
    }
}

fn broken() -> io::Error {
    io::Error::other("input/output error")
}
