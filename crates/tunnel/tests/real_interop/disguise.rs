//! A server of the system that believes in a password and a home of our own: it runs in a mount
//! namespace where a few files of `/etc` are others. The machine's own are never touched.

use std::path::{Path, PathBuf};

use adit_testkit::real;
use tokio::process::Command;

use crate::keys::{Keys, PASSWORD};

/// The files.
#[derive(Debug)]
pub(crate) struct Disguise {
    folder: PathBuf,
}

impl Disguise {
    /// Whether this process may have mount namespaces.
    pub(crate) fn is_possible() -> bool {
        rustix::process::geteuid().is_root() && real::find("unshare").is_some()
    }

    /// Writes them: the user's home is the folder of `keys`, and the password is [`PASSWORD`].
    pub(crate) fn new(keys: &Keys) -> Self {
        let folder = keys.folder().join("etc");
        std::fs::create_dir_all(&folder).unwrap();
        let user = format!("{}:", keys.user());
        let home = keys.folder().display();
        let passwd = std::fs::read_to_string("/etc/passwd").unwrap();
        let theirs = passwd.lines().find(|line| line.starts_with(&user));
        let mut fields: Vec<String> = theirs
            .expect("the user has a row")
            .split(':')
            .map(str::to_owned)
            .collect();
        fields[5] = home.to_string();
        let others = passwd.lines().filter(|line| !line.starts_with(&user));
        let row = fields.join(":");
        let rows: Vec<&str> = others.chain([row.as_str()]).collect();
        let passwd = rows.join("\n") + "\n";
        std::fs::write(folder.join("passwd"), passwd).unwrap();
        let shadow = format!("{user}{}:19000:0:99999:7:::\n", hash());
        std::fs::write(folder.join("shadow"), shadow).unwrap();
        std::fs::write(folder.join("pam"), PAM).unwrap();
        Self { folder }
    }

    /// That program, for which these files are those of `/etc`.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", SCRIPT, "disguise"]);
        command.arg(&self.folder).arg(program);
        command
    }
}

/// The password as crypt(3) keeps it, made by the program that Debian always has.
fn hash() -> String {
    let output = std::process::Command::new("openssl")
        .args(["passwd", "-6", PASSWORD])
        .output()
        .expect("openssl starts");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

const SCRIPT: &str = "\
mount --bind \"$1/passwd\" /etc/passwd || exit
mount --bind \"$1/shadow\" /etc/shadow || exit
if [ -e /etc/pam.d/sshd ]; then mount --bind \"$1/pam\" /etc/pam.d/sshd || exit; fi
shift
exec \"$@\"
";

/// A password and nothing of the machine's own besides.
const PAM: &str = "\
auth required pam_unix.so
account required pam_permit.so
session required pam_permit.so
";
