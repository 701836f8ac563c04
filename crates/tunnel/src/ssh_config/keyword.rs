//! The keywords of ssh_config(5): those that are read, those that are refused and those that are
//! ignored.

/// What a keyword means here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keyword {
    Host,
    Match,
    Include,
    /// Gives a value.
    Sets(Setting),
    /// Changes whom one talks to, or who is trusted; to pass over it would not be safe.
    Refused(&'static Refused),
    /// Means nothing here, or nothing that is missed.
    Ignored(&'static str),
    /// None of ssh_config's; an error, as in OpenSSH, unless `IgnoreUnknown` names it.
    Unknown,
}

/// What a value is for; named as the keywords.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Setting {
    IgnoreUnknown,
    HostName,
    User,
    Port,
    AddressFamily,
    ConnectTimeout,
    ServerAliveInterval,
    ServerAliveCountMax,
    IdentityFile,
    IdentitiesOnly,
    IdentityAgent,
    CertificateFile,
    HostKeyAlias,
    HostKeyAlgorithms,
    StrictHostKeyChecking,
    UserKnownHostsFile,
    GlobalKnownHostsFile,
    HashKnownHosts,
    ProxyJump,
    ProxyCommand,
    Ciphers,
    KexAlgorithms,
    LocalForward,
    RemoteForward,
    DynamicForward,
    GatewayPorts,
    ClearAllForwardings,
    ExitOnForwardFailure,
}

/// A keyword that cannot be passed over.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refused {
    /// As ssh_config(5) writes it.
    pub(super) name: &'static str,
    /// The value that asks for nothing.
    pub(super) harmless: &'static str,
    /// What to do instead.
    pub(super) hint: &'static str,
}

/// Keywords that are read, as ssh_config(5) writes them.
pub(super) const READ: [(&str, Keyword); 31] = [
    ("Host", Keyword::Host),
    ("Match", Keyword::Match),
    ("Include", Keyword::Include),
    ("IgnoreUnknown", Keyword::Sets(Setting::IgnoreUnknown)),
    ("HostName", Keyword::Sets(Setting::HostName)),
    ("User", Keyword::Sets(Setting::User)),
    ("Port", Keyword::Sets(Setting::Port)),
    ("AddressFamily", Keyword::Sets(Setting::AddressFamily)),
    ("ConnectTimeout", Keyword::Sets(Setting::ConnectTimeout)),
    (
        "ServerAliveInterval",
        Keyword::Sets(Setting::ServerAliveInterval),
    ),
    (
        "ServerAliveCountMax",
        Keyword::Sets(Setting::ServerAliveCountMax),
    ),
    ("IdentityFile", Keyword::Sets(Setting::IdentityFile)),
    ("IdentitiesOnly", Keyword::Sets(Setting::IdentitiesOnly)),
    ("IdentityAgent", Keyword::Sets(Setting::IdentityAgent)),
    ("CertificateFile", Keyword::Sets(Setting::CertificateFile)),
    ("HostKeyAlias", Keyword::Sets(Setting::HostKeyAlias)),
    (
        "HostKeyAlgorithms",
        Keyword::Sets(Setting::HostKeyAlgorithms),
    ),
    (
        "StrictHostKeyChecking",
        Keyword::Sets(Setting::StrictHostKeyChecking),
    ),
    (
        "UserKnownHostsFile",
        Keyword::Sets(Setting::UserKnownHostsFile),
    ),
    (
        "GlobalKnownHostsFile",
        Keyword::Sets(Setting::GlobalKnownHostsFile),
    ),
    ("HashKnownHosts", Keyword::Sets(Setting::HashKnownHosts)),
    ("ProxyJump", Keyword::Sets(Setting::ProxyJump)),
    ("ProxyCommand", Keyword::Sets(Setting::ProxyCommand)),
    ("Ciphers", Keyword::Sets(Setting::Ciphers)),
    ("KexAlgorithms", Keyword::Sets(Setting::KexAlgorithms)),
    ("LocalForward", Keyword::Sets(Setting::LocalForward)),
    ("RemoteForward", Keyword::Sets(Setting::RemoteForward)),
    ("DynamicForward", Keyword::Sets(Setting::DynamicForward)),
    ("GatewayPorts", Keyword::Sets(Setting::GatewayPorts)),
    (
        "ClearAllForwardings",
        Keyword::Sets(Setting::ClearAllForwardings),
    ),
    (
        "ExitOnForwardFailure",
        Keyword::Sets(Setting::ExitOnForwardFailure),
    ),
];

/// Keywords that are refused where they apply.
pub(super) static REFUSED: [Refused; 5] = [
    Refused {
        name: "CanonicalizeHostname",
        harmless: "no",
        hint: "write the full name with HostName",
    },
    Refused {
        name: "CanonicalizePermittedCNAMEs",
        harmless: "none",
        hint: "write the full name with HostName",
    },
    Refused {
        name: "ProxyUseFdpass",
        harmless: "no",
        hint: "use ProxyJump, or a ProxyCommand that passes bytes",
    },
    Refused {
        name: "RefuseConnection",
        harmless: "",
        hint: "the file forbids connections to this host",
    },
    Refused {
        name: "RevokedHostKeys",
        harmless: "none",
        hint: "mark the keys with @revoked in known_hosts",
    },
];

/// Keywords that are passed over: OpenSSH's of today and of old, with their values unread.
pub(super) const IGNORED: [&str; 91] = [
    "AddKeysToAgent",
    "AfsTokenPassing",
    "BatchMode",
    "BindAddress",
    "BindInterface",
    "CanonicalDomains",
    "CanonicalizeFallbackLocal",
    "CanonicalizeMaxDots",
    "CASignatureAlgorithms",
    "ChallengeResponseAuthentication",
    "ChannelTimeout",
    "CheckHostIP",
    "Cipher",
    "Compression",
    "CompressionLevel",
    "ConnectionAttempts",
    "ControlMaster",
    "ControlPath",
    "ControlPersist",
    "DSAAuthentication",
    "EnableEscapeCommandline",
    "EnableSSHKeysign",
    "EscapeChar",
    "FallBackToRsh",
    "FingerprintHash",
    "ForkAfterAuthentication",
    "ForwardAgent",
    "ForwardX11",
    "ForwardX11Timeout",
    "ForwardX11Trusted",
    "GlobalKnownHostsFile2",
    "GSSAPIAuthentication",
    "GSSAPIDelegateCredentials",
    "HostbasedAcceptedAlgorithms",
    "HostbasedAuthentication",
    "HostbasedKeyTypes",
    "IPQoS",
    "KbdInteractiveAuthentication",
    "KbdInteractiveDevices",
    "KeepAlive",
    "KerberosAuthentication",
    "KerberosTGTPassing",
    "KnownHostsCommand",
    "LocalCommand",
    "LogLevel",
    "LogVerbose",
    "MACs",
    "NoHostAuthenticationForLocalhost",
    "NumberOfPasswordPrompts",
    "ObscureKeystrokeTiming",
    "PasswordAuthentication",
    "PermitLocalCommand",
    "PermitRemoteOpen",
    "PKCS11Provider",
    "PreferredAuthentications",
    "Protocol",
    "PubkeyAcceptedAlgorithms",
    "PubkeyAcceptedKeyTypes",
    "PubkeyAuthentication",
    "RekeyLimit",
    "RemoteCommand",
    "RequestTTY",
    "RequiredRSASize",
    "RhostsAuthentication",
    "RhostsRSAAuthentication",
    "RSAAuthentication",
    "SecurityKeyProvider",
    "SendEnv",
    "SessionType",
    "SetEnv",
    "SkeyAuthentication",
    "SmartcardDevice",
    "StdinNull",
    "StreamLocalBindMask",
    "StreamLocalBindUnlink",
    "SyslogFacility",
    "Tag",
    "TCPKeepAlive",
    "TISAuthentication",
    "Tunnel",
    "TunnelDevice",
    "UpdateHostKeys",
    "UsePrivilegedPort",
    "UserKnownHostsFile2",
    "UseRoaming",
    "UseRsh",
    "VerifyHostKeyDNS",
    "VersionAddendum",
    "VisualHostKey",
    "WarnWeakCrypto",
    "XAuthLocation",
];

impl Keyword {
    /// The keyword of that name, in either case.
    pub(super) fn of(name: &str) -> Self {
        let is_it = |known: &str| known.eq_ignore_ascii_case(name);
        if is_it("IdentityFile2") {
            return Self::Sets(Setting::IdentityFile);
        }
        if let Some((_, keyword)) = READ.iter().find(|(known, _)| is_it(known)) {
            return *keyword;
        }
        if let Some(refused) = REFUSED.iter().find(|refused| is_it(refused.name)) {
            return Self::Refused(refused);
        }
        match IGNORED.iter().find(|known| is_it(known)) {
            Some(known) => Self::Ignored(known),
            None => Self::Unknown,
        }
    }
}
