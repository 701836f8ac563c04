//! Certificates of names: those of the settings, and for all other names under the domain one of an authority of our
//! own, which lies in the data directory for whoever is to trust it.

use std::fs::{self, OpenOptions, Permissions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use adit_cert::development::{Authority, is_old};
use adit_cert::import::{Certificate, import};
use adit_cert::table::Table;
use adit_edge::tls::{Certificates, Certified, certified};
use anyhow::Context as _;
use jiff::Timestamp;
use tracing::warn;

use super::settings::Settings;
use super::trusted;

/// Longest file of a chain or a key.
const LENGTH: u64 = 1 << 20;

/// The certificates of this moment.
#[derive(Debug)]
pub(super) struct Shelf {
    folder: PathBuf,
    table: RwLock<Arc<Table<Certified>>>,
    /// When the own one has to be renewed at the latest.
    own: RwLock<Option<Certificate>>,
}

impl Shelf {
    /// Those of the settings; the authority's key and certificate are made in that folder if they are not there.
    ///
    /// # Errors
    /// A file cannot be read or used.
    pub(super) fn open(
        folder: PathBuf,
        settings: &Settings,
        now: Timestamp,
    ) -> anyhow::Result<Self> {
        let shelf = Self {
            folder,
            table: RwLock::new(Arc::new(Table::new([]))),
            own: RwLock::new(None),
        };
        shelf.fill(settings, now)?;
        Ok(shelf)
    }

    /// Reads them again.
    ///
    /// # Errors
    /// A file cannot be read or used; those of before go on being served.
    pub(super) fn fill(&self, settings: &Settings, now: Timestamp) -> anyhow::Result<()> {
        let mut entries = Vec::new();
        for (chain, key) in &settings.certificates {
            let read = read(chain, key)?;
            if read.not_after <= now {
                warn!(file = %chain.display(), until = %read.not_after, "a certificate has expired");
            }
            entries.push(entry(&read)?);
        }
        if let Some(domain) = settings
            .domain
            .as_ref()
            .filter(|_| !settings.https.is_empty())
        {
            let authority = self.authority(domain, now)?;
            let names = [domain.clone(), format!("*.{domain}")];
            let own = authority.issue(&names, now)?;
            entries.push(entry(&own)?);
            *self.own.write().unwrap_or_else(PoisonError::into_inner) = Some(own);
        }
        *self.table.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(Table::new(entries));
        Ok(())
    }

    /// Whether the own one has to be renewed: by [`fill`](Self::fill).
    pub(super) fn is_old(&self, now: Timestamp) -> bool {
        let own = self.own.read().unwrap_or_else(PoisonError::into_inner);
        own.as_ref().is_some_and(|own| is_old(own, now))
    }

    /// The file of the authority's certificate.
    pub(super) fn authority_file(&self) -> PathBuf {
        self.folder.join("authority.pem")
    }

    fn authority(&self, domain: &str, now: Timestamp) -> anyhow::Result<Authority> {
        let (certificate, key) = (self.authority_file(), self.folder.join("authority-key.pem"));
        match fs::read_to_string(&key) {
            Ok(text) => {
                let certificate = fs::read_to_string(&certificate)
                    .with_context(|| format!("cannot read {}", certificate.display()))?;
                Authority::load(&certificate, &text)
                    .with_context(|| format!("cannot use what is in {}", self.folder.display()))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let made = Authority::make(domain, now)?;
                fs::create_dir_all(&self.folder)
                    .and_then(|()| fs::set_permissions(&self.folder, Permissions::from_mode(0o700)))
                    .with_context(|| format!("cannot make {}", self.folder.display()))?;
                // The key last: it is what is looked for.
                keep(&certificate, made.certificate())?;
                keep(&key, made.key())?;
                Ok(made)
            }
            Err(error) => Err(error).with_context(|| format!("cannot read {}", key.display())),
        }
    }
}

impl Certificates for Shelf {
    fn find(&self, name: Option<&str>) -> Option<Arc<Certified>> {
        let table = Arc::clone(&self.table.read().unwrap_or_else(PoisonError::into_inner));
        // Who says no name is sent away: the first of all is not theirs.
        table.find(name?).cloned()
    }
}

/// A chain and its key, from files that nobody else may write to, and the key for nobody else to read.
fn read(chain: &Path, key: &Path) -> anyhow::Result<Certificate> {
    let mode = fs::metadata(key).map(|data| data.permissions().mode());
    let mode = mode.with_context(|| format!("cannot read {}", key.display()))?;
    anyhow::ensure!(
        mode.trailing_zeros() >= 6,
        "{} can be read by others: chmod 600 {0}",
        key.display()
    );
    let bytes = |path: &Path| {
        trusted::read(path, LENGTH).with_context(|| format!("cannot use {}", path.display()))
    };
    import(&bytes(chain)?, &bytes(key)?)
        .with_context(|| format!("cannot use {} with {}", chain.display(), key.display()))
}

fn entry(read: &Certificate) -> anyhow::Result<(Vec<String>, Certified)> {
    let certified = certified(&read.chain, &read.key).context("cannot use a certificate's key")?;
    Ok((read.names.clone(), certified))
}

fn keep(path: &Path, text: &str) -> anyhow::Result<()> {
    let mut options = OpenOptions::new();
    // Never where a link leads (security rule G46).
    let flags = i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).unwrap_or_default();
    options.write(true).create(true).truncate(true).mode(0o600);
    options.custom_flags(flags);
    let written = options.open(path).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()
    });
    written.with_context(|| format!("cannot write {}", path.display()))
}
