//! What the machine gives: descriptors, ports, the programs of local servers.

use super::finding::Finding;
use crate::config::Config;
use gateway::config::{Command, Server};
use rustix::process::{Resource, getrlimit};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;

pub(super) fn check(config: &Config, running: bool) -> Vec<Finding> {
    let limits = &config.limits;
    let descriptors = getrlimit(Resource::Nofile).current;
    let mut findings = vec![open_files(descriptors, limits.connections_max, limits.processes_max)];
    findings.push(port("gateway.listen", config.listener.address, running));
    findings.extend(config.operation.metrics.map(|at| port("metrics.listen", at, running)));
    for server in &config.servers {
        if let Server::Stdio(command) = &server.server {
            findings.push(program(&server.name, command));
        }
    }
    findings
}

/// A connection to the gateway may need one to the server; a program needs two or three pipes.
fn open_files(limit: Option<u64>, connections_max: usize, processes_max: usize) -> Finding {
    let needed = connections_max.saturating_mul(2) + processes_max.saturating_mul(3) + OTHER_FILES;
    let needed = u64::try_from(needed).unwrap_or(u64::MAX);
    match limit {
        Some(limit) if limit < needed => Finding::warning(
            "descriptors",
            format!("{limit} files may be open, the configured limits may need {needed}"),
        )
        .because("without descriptors no connection is accepted, and the log cannot open a file")
        .so("raise `ulimit -n` (`LimitNOFILE=` of systemd), or lower `limits.connections_max`"),
        Some(limit) => Finding::ok("descriptors", format!("{limit} files may be open")),
        None => Finding::ok("descriptors", "any number of files may be open"),
    }
}

fn port(key: &str, address: SocketAddr, running: bool) -> Finding {
    match TcpListener::bind(address) {
        Ok(_) if running => Finding::warning(
            "port",
            format!("nobody listens on {address} (`{key}`), though a gateway writes to the log"),
        )
        .because("that gateway was started with another configuration, or hangs")
        .so("look at its log lines"),
        Ok(_) => Finding::ok("port", format!("{address} (`{key}`) is free")),
        Err(_) if running => {
            Finding::ok("port", format!("{address} (`{key}`) is in use: a gateway is running"))
        }
        Err(error) => Finding::error("port", format!("{address} (`{key}`): {error}"))
            .because("the gateway does not start when it cannot listen")
            .so("stop what listens there, or choose another port"),
    }
}

fn program(server: &str, command: &Command) -> Finding {
    let found = if command.program.contains('/') {
        let directory = command.directory.as_deref().unwrap_or(Path::new(""));
        is_program(&directory.join(&command.program))
    } else {
        let path = command.environment.iter().find(|(name, _)| name == "PATH");
        let path = path.map(|(_, path)| path.as_str()).unwrap_or_default();
        path.split(':').any(|at| is_program(&Path::new(at).join(&command.program)))
    };
    if found {
        return Finding::ok("server", format!("{server}: `{}` is there", command.program));
    }
    Finding::error("server", format!("{server}: `{}` is no program", command.program))
        .because("every call to this server fails")
        .so("install it, or name it by its whole path; its `PATH` is the gateway's own")
}

#[cfg(unix)]
fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(path).is_ok_and(|f| f.is_file() && f.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn is_program(path: &Path) -> bool {
    path.is_file()
}

/// Segments, tiles, listeners, standard streams.
const OTHER_FILES: usize = 100;

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::{open_files, port, program};
    use gateway::config::{Command, Stderr};
    use std::net::TcpListener;

    fn command(program: &str) -> Command {
        Command {
            program: program.to_owned(),
            arguments: Vec::new(),
            environment: vec![("PATH".to_owned(), "/nowhere:/bin".to_owned())],
            directory: None,
            stderr: Stderr::Discard,
        }
    }

    #[test]
    fn too_few_descriptors_are_found() {
        assert_eq!(open_files(Some(1_024), 10_000, 64).level, Level::Warning);
        assert_eq!(open_files(Some(65_536), 10_000, 64).level, Level::Ok);
        assert_eq!(open_files(None, 10_000, 64).level, Level::Ok);
    }

    #[test]
    fn a_port_in_use_is_found() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        assert_eq!(port("gateway.listen", address, false).level, Level::Error);
        assert_eq!(port("gateway.listen", address, true).level, Level::Ok);
        drop(listener);
        assert_eq!(port("gateway.listen", address, false).level, Level::Ok);
        assert_eq!(port("gateway.listen", address, true).level, Level::Warning);
    }

    #[test]
    fn a_program_that_is_not_there_is_found() {
        assert_eq!(program("s", &command("sh")).level, Level::Ok);
        assert_eq!(program("s", &command("/bin/sh")).level, Level::Ok);
        assert_eq!(program("s", &command("no-such-program")).level, Level::Error);
        assert_eq!(program("s", &command("/etc/hostname-of-nobody")).level, Level::Error);
    }
}
