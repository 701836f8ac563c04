//! What the commands take that look after a gateway: who may log in, what they may do, what they hold.

use std::path::PathBuf;
use std::time::Duration;

use adit_model::host::Name;
use adit_model::id::Fingerprint;
use adit_model::lease::{Reservation, Reserved};
use adit_model::port::PortSet;
use adit_model::prefix::PortPrefix;
use adit_model::source::SourceSet;
use adit_tunnel::enroll::CodeId;
use anyhow::Context as _;
use clap::{Args, Subcommand};
use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;

pub(crate) use self::grant::{GrantAddArguments, GrantArguments, GrantRemoveArguments};
use crate::gateway::order::{Held, LASTS};

mod grant;

/// A group of commands with where their gateway is.
#[derive(Debug, Clone, Args)]
pub(crate) struct AdminArguments<C: Subcommand> {
    #[command(flatten)]
    pub(crate) gateway: GatewayArguments,

    #[command(subcommand)]
    pub(crate) command: C,
}

/// Which gateway is meant, and how it answers.
#[derive(Debug, Clone, Args)]
pub(crate) struct GatewayArguments {
    /// The data directory of the gateway. Without: that of --config, or ADIT_DATA. If the gateway runs, it does
    /// what is asked; if not, it is done here, and nothing else may use the directory meanwhile.
    #[arg(long, value_name = "DIR", global = true)]
    pub(crate) data: Option<PathBuf>,

    /// The file with the settings of the gateway, as adit serve has it. Needed beside --data if it names a
    /// database.
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) config: Option<PathBuf>,

    /// The file with the URL of its database, as adit serve has it.
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) database_file: Option<PathBuf>,

    /// As JSON, an object a line.
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

#[derive(Debug, Clone, Subcommand)]
pub(crate) enum PrincipalCommand {
    /// Make a name known. It can do nothing yet: adit key add lets it in, adit grant add says what for.
    ///
    /// Exit codes: 0 it is known, 1 the name is taken or nothing can be written, 2 the command line.
    Add {
        /// The name: a letter or digit, then letters, digits, dots, _ and -, 63 at the most.
        #[arg(value_name = "NAME")]
        name: Name,

        /// Words about it, shown wherever it is.
        #[arg(long, value_name = "TEXT")]
        note: Option<String>,
    },

    /// Show them all, a line each.
    ///
    /// Exit codes: 0 shown, 1 nothing can be read, 2 the command line.
    List,

    /// Show one with its keys and what it may do.
    ///
    /// Exit codes: 0 shown, 1 it is not known, 2 the command line.
    Show {
        /// Its name.
        #[arg(value_name = "NAME")]
        name: Name,
    },

    /// Remove one with its keys, its names at authorities and its reservations.
    ///
    /// Its connections are closed at once. Its ports and names are kept from others for the gateway's time of
    /// quarantine: a day, and a month. Exit codes: 0 it is removed, 1 it is not known or nothing can be written,
    /// 2 the command line.
    Remove {
        /// Its name.
        #[arg(value_name = "NAME")]
        name: Name,
    },

    /// Let one log in again that was disabled.
    ///
    /// Exit codes: 0 it may log in, 1 it is not known or nothing can be written, 2 the command line.
    Enable {
        /// Its name.
        #[arg(value_name = "NAME")]
        name: Name,
    },

    /// Let one log in no more, until it is enabled again. Its connections are closed at once.
    ///
    /// Exit codes: 0 it may not log in, 1 it is not known or nothing can be written, 2 the command line.
    Disable {
        /// Its name.
        #[arg(value_name = "NAME")]
        name: Name,
    },
}

#[derive(Debug, Clone, Subcommand)]
pub(crate) enum KeyCommand {
    /// Let a principal log in with a key.
    ///
    /// A key is of one principal only: one that anybody has already is refused, with whose it is. Exit codes: 0
    /// it may be used, 1 it is no public key, somebody has it or nothing can be written, 2 the command line.
    Add(KeyAddArguments),

    /// Show all keys, or those of one principal, a line each.
    ///
    /// Exit codes: 0 shown, 1 nothing can be read, 2 the command line.
    List {
        /// The name of its user or device.
        #[arg(value_name = "PRINCIPAL")]
        principal: Option<Name>,
    },

    /// Show one key, and whose it is.
    ///
    /// Exit codes: 0 shown, 1 it is not known, 2 the command line.
    Show {
        /// Its fingerprint, as ssh-keygen -l prints it.
        #[arg(value_name = "SHA256:...")]
        fingerprint: Fingerprint,
    },

    /// Let nobody log in with a key any more. Connections that it let in are closed at once.
    ///
    /// Exit codes: 0 it is removed, 1 it is not known or nothing can be written, 2 the command line.
    Remove {
        /// Its fingerprint, as ssh-keygen -l prints it.
        #[arg(value_name = "SHA256:...")]
        fingerprint: Fingerprint,
    },
}

#[derive(Debug, Clone, Args)]
pub(crate) struct KeyAddArguments {
    /// Whose it will be.
    #[arg(value_name = "PRINCIPAL")]
    pub(crate) principal: Name,

    /// The file with the public key, one that ends in .pub; - reads standard input. Never the private key: it
    /// stays where it was made.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,

    /// Where it may be used from, besides what the grant says: addresses, networks and patterns with commas
    /// between, a ! before what is left out.
    #[arg(long, value_name = "SOURCES")]
    pub(crate) from: Option<SourceSet>,

    /// Until when: 2027-12-31, 2027-12-31T18:00 or with a zone, as in 2027-12-31T18:00:00Z.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub(crate) not_after: Option<Timestamp>,

    /// It is on a security key that must have been touched.
    #[arg(long)]
    pub(crate) touch_required: bool,

    /// It is on a security key that must have verified its owner, by a PIN for example.
    #[arg(long)]
    pub(crate) verify_required: bool,
}

#[derive(Debug, Clone, Subcommand)]
pub(crate) enum GrantCommand {
    /// Let a principal do more.
    ///
    /// Ports, names, sockets and targets are added to those that it has; all else is set to what is said. It
    /// holds at once, also for what is connected. Exit codes: 0 it holds, 1 the principal is not known or nothing
    /// can be written, 2 the command line.
    Add(Box<GrantAddArguments>),

    /// Show what everybody may do, a line each.
    ///
    /// Exit codes: 0 shown, 1 nothing can be read, 2 the command line.
    List,

    /// Show what a principal may do.
    ///
    /// Exit codes: 0 shown, 1 it is not known, 2 the command line.
    Show {
        /// The name of its user or device.
        #[arg(value_name = "PRINCIPAL")]
        principal: Name,
    },

    /// Show what proves a domain to be a principal's: the TXT record that is to stand in the DNS.
    ///
    /// With --own-domains in its grant the principal may then ask for the domain: ssh -R DOMAIN:80:localhost:3000. The
    /// record stays there; it is looked for again every day. Exit codes: 0 shown, 1 the principal is not known or it
    /// is no domain, 2 the command line.
    Proof {
        /// The name of its user or device.
        #[arg(value_name = "PRINCIPAL")]
        principal: Name,

        /// The domain, whole.
        #[arg(value_name = "DOMAIN")]
        domain: Name,
    },

    /// Let a principal do less.
    ///
    /// What it has of that is taken away at once: listeners and byte streams are closed that it may not have any
    /// more. Exit codes: 0 it holds, 1 the principal is not known or nothing can be written, 2 the command line.
    Remove(Box<GrantRemoveArguments>),
}

#[derive(Debug, Clone, Subcommand)]
pub(crate) enum LeaseCommand {
    /// Show what is held: by whom, from where, or until when it waits for its owner or is kept from others.
    ///
    /// Exit codes: 0 shown, 1 nothing can be read, 2 the command line.
    List,

    /// Show one lease, and what its holder asked for.
    ///
    /// Exit codes: 0 shown, 1 nobody has it, 2 the command line.
    Show {
        /// What is held: a port, PRINCIPAL/SOCKET, NAME:PORT, or a name.
        #[arg(value_name = "HELD")]
        held: Held,
    },

    /// Take a lease away, from its holder or out of quarantine: whoever asks first has it.
    ///
    /// Its visitors are hung up on. A holder that has no other lease is disconnected, and may ask again. Exit
    /// codes: 0 it is free, 1 nobody has it or nothing can be written, 2 the command line.
    Remove {
        /// What is held: a port, PRINCIPAL/SOCKET, NAME:PORT, or a name.
        #[arg(value_name = "HELD")]
        held: Held,
    },
}

#[derive(Debug, Clone, Subcommand)]
pub(crate) enum ReservationCommand {
    /// Keep ports, or a name, for one principal: nobody else gets them.
    ///
    /// It is no grant: the principal needs one for them, too. Whoever has one of them keeps it until its lease
    /// ends. With --prefix each service has the port that the two make when written behind one another: 401 and 22
    /// are 40122. Exit codes: 0 they are reserved, 1 they are for somebody else or nothing can be written, 2 the
    /// command line.
    Add(ReservationAddArguments),

    /// Show them all, a line each.
    ///
    /// Exit codes: 0 shown, 1 nothing can be read, 2 the command line.
    List,

    /// Show one reservation by its number.
    ///
    /// Exit codes: 0 shown, 1 it is not known, 2 the command line.
    Show {
        /// Its number, as adit reservation list shows it.
        #[arg(value_name = "NUMBER")]
        id: i64,
    },

    /// Remove one reservation by its number.
    ///
    /// Exit codes: 0 it is removed, 1 it is not known or nothing can be written, 2 the command line.
    Remove {
        /// Its number, as adit reservation list shows it.
        #[arg(value_name = "NUMBER")]
        id: i64,
    },
}

#[derive(Debug, Clone, Args)]
pub(crate) struct ReservationAddArguments {
    /// For whom.
    #[arg(value_name = "PRINCIPAL")]
    pub(crate) principal: Name,

    /// What: ports like 10022 or 10100-10199, or a name.
    #[arg(
        value_name = "PORTS|NAME",
        value_parser = reserved,
        required_unless_present = "prefix",
        conflicts_with = "prefix"
    )]
    what: Option<Reserved>,

    /// Reserve the ports of --services behind this number: with 401, service 22 is port 40122.
    #[arg(long, value_name = "NUMBER", requires = "services")]
    prefix: Option<PortPrefix>,

    /// The ports of the services that get one each: 22,80.
    #[arg(long, value_name = "PORTS", requires = "prefix")]
    services: Option<PortSet>,

    /// Words about it.
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
}

impl ReservationAddArguments {
    /// What is reserved, and the words about it, which say how its ports came about.
    pub(crate) fn what(&self) -> anyhow::Result<(Reserved, String)> {
        let note = self.note.clone().unwrap_or_default();
        if let (Some(prefix), Some(services)) = (self.prefix, &self.services) {
            let made = Reservation::words_of_prefix(prefix, services);
            let note = match note.as_str() {
                "" => made,
                words => format!("{made}: {words}"),
            };
            return Ok((Reserved::Ports(prefix.ports(services)?), note));
        }
        let what = self.what.clone().context("nothing to reserve")?;
        Ok((what, note))
    }
}

#[derive(Debug, Clone, Subcommand)]
pub(crate) enum AuthorityCommand {
    /// Take certificates of an authority. They let nobody in until adit authority name says for whom they stand.
    ///
    /// Exit codes: 0 it is known, 1 it is no public key, it is there already or nothing can be written, 2 the
    /// command line.
    Add(AuthorityAddArguments),

    /// Show them all, a line each.
    ///
    /// Exit codes: 0 shown, 1 nothing can be read, 2 the command line.
    List,

    /// Show one with its names.
    ///
    /// Exit codes: 0 shown, 1 it is not known, 2 the command line.
    Show {
        /// The fingerprint of its key, as ssh-keygen -l prints it.
        #[arg(value_name = "SHA256:...")]
        fingerprint: Fingerprint,
    },

    /// Take no certificate of an authority any more. Connections that they let in are closed at once.
    ///
    /// Exit codes: 0 it is removed, 1 it is not known or nothing can be written, 2 the command line.
    Remove {
        /// The fingerprint of its key, as ssh-keygen -l prints it.
        #[arg(value_name = "SHA256:...")]
        fingerprint: Fingerprint,
    },

    /// Say which principal a name in an authority's certificates stands for.
    ///
    /// Exit codes: 0 it does, 1 one of them is not known or nothing can be written, 2 the command line.
    Name {
        /// The fingerprint of its key, as ssh-keygen -l prints it.
        #[arg(value_name = "SHA256:...")]
        fingerprint: Fingerprint,

        /// The name in its certificates, exactly, as ssh-keygen -n was given it.
        #[arg(value_name = "NAME")]
        name: String,

        /// Who that is here.
        #[arg(value_name = "PRINCIPAL")]
        principal: Name,
    },

    /// Let a name in an authority's certificates stand for nobody.
    ///
    /// Exit codes: 0 it does not any more, 1 it did not before or nothing can be written, 2 the command line.
    Unname {
        /// The fingerprint of its key, as ssh-keygen -l prints it.
        #[arg(value_name = "SHA256:...")]
        fingerprint: Fingerprint,

        /// The name in its certificates, exactly.
        #[arg(value_name = "NAME")]
        name: String,
    },
}

#[derive(Debug, Clone, Args)]
pub(crate) struct AuthorityAddArguments {
    /// The file with its public key; - reads standard input. Never the private key: it stays where it was made.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,

    /// Where its certificates may be used from: addresses, networks and patterns with commas between.
    #[arg(long, value_name = "SOURCES")]
    pub(crate) from: Option<SourceSet>,

    /// Until when: 2027-12-31, 2027-12-31T18:00 or with a zone.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub(crate) not_after: Option<Timestamp>,

    /// Words about it.
    #[arg(long, value_name = "TEXT")]
    pub(crate) note: Option<String>,
}

#[derive(Debug, Clone, Subcommand)]
pub(crate) enum RevokeCommand {
    /// Keep a key, or certificates, out for good, whoever has them. Neither has to be known here.
    ///
    /// Connections that they let in are closed at once. Exit codes: 0 it is revoked, 1 nothing can be written, 2
    /// the command line.
    Add(RevokeAddArguments),

    /// Show what is revoked, a line each.
    ///
    /// Exit codes: 0 shown, 1 nothing can be read, 2 the command line.
    List,

    /// Take a revocation back.
    ///
    /// Exit codes: 0 it is taken back, 1 it is not known or nothing can be written, 2 the command line.
    Remove {
        /// Its number, as adit revoke list shows it.
        #[arg(value_name = "NUMBER")]
        id: i64,
    },
}

#[derive(Debug, Clone, Args)]
pub(crate) struct RevokeAddArguments {
    /// A key, of anybody or of an authority, alone or in a certificate.
    #[arg(
        long,
        value_name = "SHA256:...",
        required_unless_present = "authority",
        conflicts_with = "authority"
    )]
    pub(crate) key: Option<Fingerprint>,

    /// The authority whose certificates are meant.
    #[arg(long, value_name = "SHA256:...")]
    pub(crate) authority: Option<Fingerprint>,

    /// Their serial numbers: 17 or 17-25.
    #[arg(
        long,
        value_name = "NUMBERS",
        value_parser = serials,
        requires = "authority",
        conflicts_with = "key_id",
        required_unless_present_any = ["key", "key_id"]
    )]
    pub(crate) serials: Option<(u64, u64)>,

    /// Their key id, exactly, as ssh-keygen -I was given it.
    #[arg(long, value_name = "TEXT", requires = "authority")]
    pub(crate) key_id: Option<String>,

    /// Words about it.
    #[arg(long, value_name = "TEXT")]
    pub(crate) note: Option<String>,
}

#[derive(Debug, Clone, Subcommand)]
pub(crate) enum HostKeyCommand {
    /// Show them all, a line each: those in use, those to come, and what else clients are told of.
    ///
    /// Exit codes: 0 shown, 1 nothing can be read, 2 the command line.
    List,

    /// Have the next keys take the places of those in use, and make others to come after them.
    ///
    /// Clients that have logged in since the next ones are there know them (OpenSSH with UpdateHostKeys, and adit),
    /// and forget the old ones at their next login; all others are told that the host's key has changed. Connections
    /// stay. The old files are kept beside the new ones, with .old behind their names. Exit codes: 0 they are in use,
    /// 1 they have been announced for less than a week or cannot be read or written, 2 the command line.
    Rotate {
        /// Also if they have been announced for less than a week: when somebody else may have the old ones.
        #[arg(long)]
        force: bool,
    },
}

#[derive(Debug, Clone, Subcommand)]
pub(crate) enum InviteCommand {
    /// Make a code by which one machine becomes a device: adit join asks for it there.
    ///
    /// What the device may do is decided here, by the same words as with adit grant add, and by nothing that the
    /// machine says. For a device that is there already the code adds one more key, and nothing else may be said.
    /// The code is shown this once. Exit codes: 0 here it is, 1 the name is a user's or nothing can be written, 2
    /// the command line.
    Add(Box<InviteAddArguments>),

    /// Show them all, a line each, until a day after their end. The codes themselves are not kept.
    ///
    /// Exit codes: 0 shown, 1 nothing can be read, 2 the command line.
    List,

    /// Take a code back. A device that was made by it stays.
    ///
    /// Exit codes: 0 it is of no use any more, 1 it is not known or nothing can be written, 2 the command line.
    Remove {
        /// Its number, as adit invite list shows it.
        #[arg(value_name = "NUMBER")]
        number: CodeId,
    },
}

#[derive(Debug, Clone, Args)]
pub(crate) struct InviteAddArguments {
    /// The name of the device.
    #[arg(value_name = "NAME")]
    pub(crate) name: Name,

    /// How long the code lives, 24h at the most.
    #[arg(long, value_name = "TIME", value_parser = adit_text::duration::parse, default_value = LASTS)]
    pub(crate) lasts: Duration,

    /// Words about the device.
    #[arg(long, value_name = "TEXT")]
    pub(crate) note: Option<String>,

    #[command(flatten)]
    pub(crate) grant: GrantArguments,
}

#[derive(Debug, Clone, Subcommand)]
pub(crate) enum AuditCommand {
    /// Show who changed what, the newest first.
    ///
    /// Exit codes: 0 shown, 1 nothing can be read, 2 the command line.
    List {
        /// So many at the most, up to 1000.
        #[arg(long, value_name = "COUNT", default_value_t = 50)]
        limit: u64,

        /// Only those before the one of that number.
        #[arg(long, value_name = "NUMBER")]
        before: Option<i64>,
    },
}

#[derive(Debug, Clone, Args)]
pub(crate) struct ReloadArguments {
    #[command(flatten)]
    pub(crate) gateway: GatewayArguments,
}

/// A moment: with a zone, or as the clocks here have it.
fn moment(text: &str) -> Result<Timestamp, String> {
    if let Ok(moment) = text.parse::<Timestamp>() {
        return Ok(moment);
    }
    let date = text.parse::<Date>().map(|date| date.at(0, 0, 0, 0));
    let here: Result<DateTime, _> = if text.contains(['T', ' ']) {
        text.parse()
    } else {
        date
    };
    let zoned = here.and_then(|here| here.to_zoned(TimeZone::system()));
    zoned.map(|zoned| zoned.timestamp()).map_err(|_| {
        String::from("wanted a time: 2027-12-31, 2027-12-31T18:00 or 2027-12-31T18:00:00Z")
    })
}

/// Ports or a name; digits are ports.
fn reserved(text: &str) -> Result<Reserved, String> {
    let wanted = || String::from("wanted ports like 10022 or 10100-10199, or a name");
    let is_ports = text
        .bytes()
        .all(|byte| byte.is_ascii_digit() || matches!(byte, b',' | b'-'));
    if is_ports {
        let ports = text.parse().map_err(|error| format!("{error}"))?;
        return Ok(Reserved::Ports(ports));
    }
    text.parse().map(Reserved::Name).map_err(|_| wanted())
}

/// Serial numbers, the lowest and the highest.
fn serials(text: &str) -> Result<(u64, u64), String> {
    let (from, to) = text.split_once('-').unwrap_or((text, text));
    match (from.parse(), to.parse()) {
        (Ok(from), Ok(to)) if from <= to => Ok((from, to)),
        _ => Err(String::from("wanted a number or a range: 17 or 17-25")),
    }
}
