//! What is not deterministic, by its full name, and what to write instead.

use crate::diagnostics::Refusal;

/// Why a name is refused; each has one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    Clock,
    Instant,
    Elapsed,
    Random,
    Environment,
    Files,
    Spawn,
    Thread,
    Process,
    Timer,
    Network,
    Channel,
    Output,
    Input,
}

/// The functions of one module or type.
struct Rule {
    family: Family,
    module: &'static str,
    /// `*` is every function there is; it counts for a path that is written in full.
    names: &'static [&'static str],
    /// How many segments a path needs to be taken for one of these when its import is not seen.
    segments_min: usize,
}

/// A rule for names that are known by themselves: `Utc::now`.
const fn rule(family: Family, module: &'static str, names: &'static [&'static str]) -> Rule {
    Rule { family, module, names, segments_min: 2 }
}

/// A rule for names that many types have: `Command::new` may be anybody's, `process::Command::new` is not.
const fn common(family: Family, module: &'static str, names: &'static [&'static str]) -> Rule {
    Rule { family, module, names, segments_min: 3 }
}

const ENVIRONMENT: &[&str] = &[
    "args",
    "args_os",
    "current_dir",
    "current_exe",
    "home_dir",
    "remove_var",
    "set_current_dir",
    "set_var",
    "temp_dir",
    "var",
    "var_os",
    "vars",
    "vars_os",
];
const FILES: &[&str] = &[
    "canonicalize",
    "copy",
    "create_dir",
    "create_dir_all",
    "exists",
    "hard_link",
    "metadata",
    "read",
    "read_dir",
    "read_link",
    "read_to_string",
    "remove_dir",
    "remove_dir_all",
    "remove_file",
    "rename",
    "set_permissions",
    "soft_link",
    "symlink",
    "symlink_metadata",
    "try_exists",
    "write",
    "*",
];
const FILE: &[&str] = &["create", "create_new", "open", "options"];
const THREAD: &[&str] =
    &["available_parallelism", "current", "park", "park_timeout", "sleep", "sleep_ms", "sleep_until", "yield_now", "*"];
const RANDOM: &[&str] = &[
    "fill",
    "make_rng",
    "random",
    "random_bool",
    "random_iter",
    "random_range",
    "random_ratio",
    "rng",
    "thread_rng",
    "OsRng",
    "SysRng",
];
const SEEDED: &[&str] = &["from_entropy", "from_os_rng", "try_from_os_rng"];
const TIMERS: &[&str] = &["interval", "interval_at", "sleep", "sleep_until", "timeout", "timeout_at"];
const IDS: &[&str] = &["new_v1", "new_v4", "new_v6", "new_v7", "now_v1", "now_v6", "now_v7"];

const TABLE: &[Rule] = &[
    rule(Family::Clock, "std::time::SystemTime", &["now"]),
    rule(Family::Clock, "chrono::Utc", &["now"]),
    rule(Family::Clock, "chrono::Local", &["now"]),
    rule(Family::Clock, "chrono::offset::Utc", &["now"]),
    rule(Family::Clock, "chrono::offset::Local", &["now"]),
    rule(Family::Clock, "time::OffsetDateTime", &["now_utc", "now_local"]),
    rule(Family::Clock, "time::UtcDateTime", &["now"]),
    rule(Family::Clock, "time::PrimitiveDateTime", &["now_utc", "now_local"]),
    rule(Family::Clock, "jiff::Timestamp", &["now"]),
    rule(Family::Clock, "jiff::Zoned", &["now"]),
    rule(Family::Instant, "std::time::Instant", &["now"]),
    rule(Family::Instant, "tokio::time::Instant", &["now"]),
    rule(Family::Elapsed, "std::time::SystemTime", &["elapsed"]),
    rule(Family::Elapsed, "std::time::Instant", &["elapsed"]),
    rule(Family::Elapsed, "tokio::time::Instant", &["elapsed"]),
    rule(Family::Random, "rand", RANDOM),
    rule(Family::Random, "rand::prelude", RANDOM),
    rule(Family::Random, "rand::rngs", RANDOM),
    rule(Family::Random, "rand::rngs::OsRng", &["default", "*"]),
    rule(Family::Random, "rand::rngs::ThreadRng", &["default"]),
    rule(Family::Random, "rand::rngs::StdRng", SEEDED),
    rule(Family::Random, "rand::rngs::SmallRng", SEEDED),
    rule(Family::Random, "rand::prelude::StdRng", SEEDED),
    rule(Family::Random, "rand::prelude::SmallRng", SEEDED),
    rule(Family::Random, "fastrand", &["*"]),
    common(Family::Random, "fastrand::Rng", &["new", "default"]),
    rule(Family::Random, "getrandom", &["*"]),
    rule(Family::Random, "uuid::Uuid", IDS),
    rule(Family::Random, "ulid::Ulid", &["new"]),
    rule(Family::Random, "nanoid", &["nanoid!"]),
    rule(Family::Random, "std::hash::RandomState", &["new", "default"]),
    rule(Family::Random, "std::collections::hash_map::RandomState", &["new", "default"]),
    rule(Family::Environment, "std::env", ENVIRONMENT),
    rule(Family::Files, "std::fs", FILES),
    rule(Family::Files, "tokio::fs", FILES),
    rule(Family::Files, "std::fs::File", FILE),
    rule(Family::Files, "tokio::fs::File", FILE),
    common(Family::Files, "std::fs::OpenOptions", &["new"]),
    common(Family::Files, "tokio::fs::OpenOptions", &["new"]),
    common(Family::Files, "std::fs::DirBuilder", &["new"]),
    common(Family::Files, "tokio::fs::DirBuilder", &["new"]),
    rule(Family::Spawn, "tokio", &["spawn"]),
    rule(Family::Spawn, "tokio::task", &["spawn", "spawn_blocking", "spawn_local"]),
    rule(Family::Spawn, "tokio::task::JoinSet", &["new"]),
    common(Family::Spawn, "tokio::task::LocalSet", &["new"]),
    rule(Family::Spawn, "std::thread", &["spawn", "scope"]),
    common(Family::Spawn, "std::thread::Builder", &["new"]),
    rule(Family::Spawn, "async_std::task", &["spawn", "spawn_blocking", "spawn_local"]),
    rule(Family::Spawn, "async_std", &["spawn"]),
    rule(Family::Spawn, "smol", &["spawn", "unblock"]),
    rule(Family::Spawn, "rayon", &["*"]),
    common(Family::Spawn, "rayon::ThreadPoolBuilder", &["new"]),
    rule(Family::Thread, "std::thread", THREAD),
    rule(Family::Thread, "tokio::task", &["block_in_place", "yield_now"]),
    common(Family::Thread, "tokio::runtime::Handle", &["current", "try_current"]),
    common(Family::Thread, "tokio::runtime::Runtime", &["new"]),
    common(Family::Thread, "tokio::runtime::Builder", &["new_current_thread", "new_multi_thread"]),
    rule(Family::Thread, "futures::executor", &["block_on"]),
    rule(Family::Thread, "async_std::task", &["block_on"]),
    rule(Family::Thread, "smol", &["block_on"]),
    rule(Family::Process, "std::process", &["id", "exit", "abort"]),
    common(Family::Process, "std::process::Command", &["new"]),
    common(Family::Process, "tokio::process::Command", &["new"]),
    rule(Family::Timer, "tokio::time", TIMERS),
    rule(Family::Network, "std::net::TcpStream", &["connect", "connect_timeout"]),
    rule(Family::Network, "std::net::TcpListener", &["bind"]),
    rule(Family::Network, "std::net::UdpSocket", &["bind"]),
    rule(Family::Network, "tokio::net::TcpStream", &["connect"]),
    rule(Family::Network, "tokio::net::TcpListener", &["bind"]),
    rule(Family::Network, "tokio::net::UdpSocket", &["bind"]),
    rule(Family::Network, "tokio::net::TcpSocket", &["new_v4", "new_v6"]),
    rule(Family::Network, "tokio::net::UnixStream", &["connect", "pair"]),
    rule(Family::Network, "tokio::net::UnixListener", &["bind"]),
    rule(Family::Network, "tokio::net", &["lookup_host"]),
    rule(Family::Network, "reqwest", &["get"]),
    common(Family::Network, "reqwest::Client", &["new", "builder"]),
    rule(Family::Network, "reqwest::blocking", &["get"]),
    common(Family::Network, "reqwest::blocking::Client", &["new", "builder"]),
    rule(Family::Channel, "std::sync::mpsc", &["channel", "sync_channel"]),
    rule(Family::Channel, "tokio::sync::mpsc", &["channel", "unbounded_channel"]),
    rule(Family::Channel, "tokio::sync::oneshot", &["channel"]),
    rule(Family::Channel, "tokio::sync::broadcast", &["channel"]),
    rule(Family::Channel, "tokio::sync::watch", &["channel"]),
    rule(Family::Channel, "futures::channel::mpsc", &["channel", "unbounded"]),
    rule(Family::Channel, "futures::channel::oneshot", &["channel"]),
    rule(Family::Output, "std", &["println!", "print!", "eprintln!", "eprint!", "dbg!"]),
    rule(Family::Output, "std::io", &["stdout", "stderr"]),
    rule(Family::Output, "tokio::io", &["stdout", "stderr"]),
    rule(Family::Input, "std::io", &["stdin"]),
    rule(Family::Input, "tokio::io", &["stdin"]),
];

/// The macros that need no import. `nanoid!` has one, but its name says enough.
const MACROS: [(&str, Family); 6] = [
    ("println!", Family::Output),
    ("print!", Family::Output),
    ("eprintln!", Family::Output),
    ("eprint!", Family::Output),
    ("dbg!", Family::Output),
    ("nanoid!", Family::Random),
];

/// What a path is known for that is written in full, or, without its beginning, from a type's or a module's name on.
pub(super) fn family(path: &[String]) -> Option<Family> {
    if let [name] = path {
        return MACROS.iter().find(|(known, _)| known == name).map(|(_, family)| *family);
    }
    let (name, module) = path.split_last()?;
    TABLE.iter().find(|rule| rule.fits(module, name)).map(|rule| rule.family)
}

/// What a path is known for that is written in full.
pub(super) fn family_of_full(path: &[String]) -> Option<Family> {
    let (name, module) = path.split_last()?;
    TABLE.iter().find(|rule| rule.is_at(module) && rule.has(name, true)).map(|rule| rule.family)
}

impl Rule {
    fn fits(&self, module: &[String], name: &str) -> bool {
        let is_full = self.is_at(module);
        let has_end = module.len() + 1 >= self.segments_min && self.ends_with(module);
        (is_full || has_end) && self.has(name, is_full)
    }

    fn is_at(&self, module: &[String]) -> bool {
        self.module.split("::").eq(module.iter().map(String::as_str))
    }

    fn ends_with(&self, module: &[String]) -> bool {
        let count = self.module.split("::").count();
        let end = self.module.split("::").skip(count.saturating_sub(module.len()));
        module.len() < count && end.eq(module.iter().map(String::as_str))
    }

    fn has(&self, name: &str, is_full: bool) -> bool {
        let is_function = name.starts_with(char::is_lowercase) && !name.ends_with('!');
        self.names.iter().any(|known| *known == name || (*known == "*" && is_full && is_function))
    }
}

impl Family {
    /// The refusal of `call`, in a function whose context is called `context`.
    pub(super) fn refusal(self, call: String, context: String) -> Refusal {
        match self {
            Self::Clock => Refusal::ClockInBody { call, context },
            Self::Instant => Refusal::InstantInBody { call, context },
            Self::Elapsed => Refusal::ElapsedInBody { call, context },
            Self::Random => Refusal::RandomInBody { call, context },
            Self::Environment => Refusal::EnvironmentInBody { call, context },
            Self::Files => Refusal::FilesInBody { call, context },
            Self::Spawn => Refusal::SpawnInBody { call },
            Self::Thread => Refusal::ThreadInBody { call, context },
            Self::Process => Refusal::ProcessInBody { call, context },
            Self::Timer => Refusal::TimerInBody { call, context },
            Self::Network => Refusal::NetworkInBody { call, context },
            Self::Channel => Refusal::ChannelInBody { call },
            Self::Output => Refusal::OutputInBody { call, context },
            Self::Input => Refusal::InputInBody { call, context },
        }
    }
}
