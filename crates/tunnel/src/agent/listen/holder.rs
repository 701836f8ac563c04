//! Who holds a port or a socket here, where the system tells us: for the words of an error.

use std::fmt;
use std::fs;
use std::path::Path;

use adit_ssh::printable::Printable;

/// A process that holds what we want.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    pid: i32,
    name: Option<Printable>,
}

impl Holder {
    /// The process of that number.
    pub(super) fn of_process(pid: i32) -> Self {
        let name = fs::read(format!("/proc/{pid}/comm")).ok();
        let name = name.map(|name| Printable::new(name.trim_ascii_end()));
        Self { pid, name }
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "{name} (process {})", self.pid),
            None => write!(f, "process {}", self.pid),
        }
    }
}

/// State of a listening socket in `/proc/net/tcp` (proc_net(5)).
const LISTENING: &str = "0A";

/// Who listens on that port, at any address. Other users' processes do not show their sockets.
pub(super) fn holder_of_port(port: u16) -> Option<Holder> {
    let inodes: Vec<String> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|table| fs::read_to_string(table).ok())
        .flat_map(|table| listeners(&table, port))
        .map(|inode| format!("socket:[{inode}]"))
        .collect();
    if inodes.is_empty() {
        return None;
    }
    let holds = |process: &Path| {
        let files = fs::read_dir(process.join("fd")).into_iter().flatten();
        let mut links = files
            .flatten()
            .filter_map(|file| fs::read_link(file.path()).ok());
        links.any(|link| {
            inodes
                .iter()
                .any(|inode| link.as_os_str() == inode.as_str())
        })
    };
    let processes = fs::read_dir("/proc").ok()?.flatten();
    let mut pids = processes.filter_map(|process| {
        let pid: i32 = process.file_name().to_str()?.parse().ok()?;
        holds(&process.path()).then_some(pid)
    });
    pids.next().map(Holder::of_process)
}

/// Inodes of the sockets that listen on that port. A line is `NUMBER: ADDRESS:PORT REMOTE STATE`,
/// and the inode is the tenth field.
fn listeners(table: &str, port: u16) -> Vec<String> {
    let ending = format!(":{port:04X}");
    let lines = table.lines().map(|line| line.split_whitespace());
    let inodes = lines.filter_map(|mut fields| {
        let is_port = fields.nth(1)?.ends_with(&ending);
        let is_listening = fields.nth(1)? == LISTENING;
        (is_port && is_listening)
            .then(|| fields.nth(5).map(str::to_owned))
            .flatten()
    });
    inodes.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_of_the_system_is_read() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
             \x20  0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4711 1 0 100 0 0 10 0\n\
             \x20  1: 0100007F:1F90 0100007F:9999 01 00000000:00000000 00:00000000 00000000  1000        0 4712 1 0 100 0 0 10 0\n\
             \x20  2: 0100007F:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4713 1 0 100 0 0 10 0\n\
             \x20  3: broken\n";
        assert_eq!(listeners(table, 8080), ["4711"]);
        assert_eq!(listeners(table, 80), ["4713"]);
        assert_eq!(listeners(table, 81), Vec::<String>::new());
    }
}
