//! Which names are refused, and which are not.

use proc_macro2::TokenStream;
use quote::quote;

use crate::diagnostics::Refusal;
use crate::parse::parse;
use crate::paths::Runtime;
use crate::rewrite::rewrite;

/// The messages about `body`, in a helper with these parameters.
fn messages(parameters: &str, body: &str) -> Vec<String> {
    let item = format!("async fn f(ctx: &Context, {parameters}) {{ {body} }}");
    let function = parse(&item.parse().unwrap_or_else(|error| panic!("{item}: {error}"))).unwrap();
    let context = quote::format_ident!("ctx");
    let rewritten = rewrite(&function, Some(&context), None, &Runtime::new(None));
    [rewritten.in_place.messages(), rewritten.elsewhere.messages()].concat()
}

/// Checks what each body is refused for: the names in backticks with which the messages begin.
fn check(cases: &[(&str, &[&str])]) {
    check_with("", cases);
}

fn check_with(parameters: &str, cases: &[(&str, &[&str])]) {
    for (body, expected) in cases {
        let messages = messages(parameters, body);
        let named: Vec<&str> = messages.iter().filter_map(|message| message.split('`').nth(1)).collect();
        assert_eq!(named, *expected, "{body}: {messages:#?}");
    }
}

/// Checks that each body is refused, for the name that it begins with after `let x = `.
fn check_each(paths: &[&str]) {
    for path in paths {
        check(&[(&format!("let x = {path}(y);"), &[path])]);
    }
}

#[test]
fn every_family_is_refused_in_full() {
    check_each(&[
        "std::time::SystemTime::now",
        "std::time::Instant::now",
        "tokio::time::Instant::now",
        "chrono::Utc::now",
        "chrono::Local::now",
        "time::OffsetDateTime::now_utc",
        "time::OffsetDateTime::now_local",
        "jiff::Timestamp::now",
        "jiff::Zoned::now",
        "rand::random",
        "rand::rng",
        "rand::thread_rng",
        "rand::random_range",
        "rand::rngs::StdRng::from_os_rng",
        "rand::rngs::SmallRng::from_entropy",
        "fastrand::u64",
        "fastrand::Rng::new",
        "getrandom::fill",
        "uuid::Uuid::new_v4",
        "uuid::Uuid::now_v7",
        "ulid::Ulid::new",
        "std::hash::RandomState::new",
        "std::collections::hash_map::RandomState::new",
        "std::env::var",
        "std::env::args",
        "std::process::id",
        "std::fs::read_to_string",
        "std::fs::some_new_function",
        "tokio::fs::read",
        "std::fs::File::open",
        "tokio::fs::File::create",
        "std::fs::OpenOptions::new",
        "std::thread::spawn",
        "std::thread::sleep",
        "std::thread::panicking",
        "std::thread::Builder::new",
        "tokio::spawn",
        "tokio::task::spawn",
        "tokio::task::spawn_blocking",
        "tokio::task::spawn_local",
        "tokio::task::block_in_place",
        "tokio::task::yield_now",
        "tokio::task::JoinSet::new",
        "tokio::runtime::Handle::current",
        "tokio::runtime::Runtime::new",
        "futures::executor::block_on",
        "async_std::task::spawn",
        "smol::spawn",
        "rayon::join",
        "std::process::Command::new",
        "std::process::exit",
        "std::process::abort",
        "tokio::time::sleep",
        "tokio::time::sleep_until",
        "tokio::time::timeout",
        "tokio::time::timeout_at",
        "tokio::time::interval",
        "std::net::TcpStream::connect",
        "tokio::net::TcpListener::bind",
        "reqwest::get",
        "reqwest::Client::new",
        "reqwest::Client::builder",
        "std::sync::mpsc::channel",
        "tokio::sync::mpsc::channel",
        "tokio::sync::oneshot::channel",
        "tokio::sync::broadcast::channel",
        "tokio::sync::watch::channel",
        "std::io::stdin",
        "std::io::stdout",
        "std::io::stderr",
    ]);
}

#[test]
fn a_type_or_module_before_the_name_is_enough() {
    check_each(&[
        "SystemTime::now",
        "Instant::now",
        "time::Instant::now",
        "Utc::now",
        "Local::now",
        "OffsetDateTime::now_utc",
        "Uuid::new_v4",
        "Ulid::new",
        "RandomState::new",
        "StdRng::from_os_rng",
        "env::var",
        "fs::read_to_string",
        "fs::File::open",
        "File::open",
        "thread::spawn",
        "thread::sleep",
        "task::spawn_blocking",
        "time::sleep",
        "time::timeout",
        "process::exit",
        "process::Command::new",
        "TcpStream::connect",
        "mpsc::channel",
        "sync::mpsc::channel",
        "oneshot::channel",
        "io::stdout",
        "executor::block_on",
        "JoinSet::new",
    ]);
}

#[test]
fn names_that_many_have_need_more() {
    check(&[
        ("Command::new(); Client::new(); Runtime::new(); Handle::current(); OpenOptions::new(); Builder::new();", &[]),
        ("sleep(x).await; spawn(x); random(); channel(); now(); exit(1); var(x); timeout(x, y);", &[]),
        ("fs::load_config(); env::load(); thread::own(); Uuid::nil(); Instant::default(); process::order();", &[]),
        ("std::net::Ipv4Addr::new(1, 2, 3, 4); StdRng::seed_from_u64(7); fastrand::Rng::with_seed(7);", &[]),
        ("std::env::split_off!(x); env!(\"HOME\"); option_env!(\"HOME\"); tokio::sync::Mutex::new(1);", &[]),
        ("tokio::time::Duration::from_secs(1); std::fs::Permissions::mode; std::time::SystemTime::UNIX_EPOCH;", &[]),
    ]);
}

#[test]
fn other_roots_are_the_users() {
    check(&[
        ("crate::SystemTime::now(); self::time::sleep(x); super::env::var(x); Self::Instant::now();", &[]),
        ("my::time::sleep(x); shop::Instant::now(); shop::clock::SystemTime::now(); mytokio::spawn(x);", &[]),
        ("::shop::time::sleep(x); ::time::sleep(x); crate::tokio::spawn(x);", &[]),
        ("std::my::time::sleep(x); tokio::Instant::now();", &[]),
        ("clock.now(); self.time.sleep(x); x.fs.read(); Clock::now(); Utc::today_is(); x.spawn().sleep();", &[]),
        (
            "::std::time::SystemTime::now(); match x { _ => ::tokio::spawn(y) }",
            &["::std::time::SystemTime::now", "::tokio::spawn"],
        ),
        ("let at = T { at: ::std::time::SystemTime::now() };", &["::std::time::SystemTime::now"]),
    ]);
}

#[test]
fn imports_of_the_body_are_followed() {
    check(&[
        ("use std::time::SystemTime as Clock; Clock::now();", &["Clock::now"]),
        (
            "use std::time::{self, SystemTime as Clock}; Clock::now(); time::Instant::now();",
            &["Clock::now", "time::Instant::now"],
        ),
        ("use tokio::time::sleep; sleep(x).await;", &["sleep"]),
        ("use tokio::time as t; t::sleep(x).await;", &["t::sleep"]),
        ("use tokio as t; t::spawn(x); t::other(x);", &["t::spawn"]),
        ("use rand::*; random(); thread_rng(); other();", &["random", "thread_rng"]),
        ("use rand::prelude::*; random();", &["random"]),
        ("use std::time; use time::Instant; Instant::now();", &["Instant::now"]),
        ("use std::collections::*; use std::*; env::var(x);", &["env::var"]),
        ("use std::time as t; use t::*; SystemTime::now();", &["SystemTime::now"]),
        ("type Clock = std::time::SystemTime; Clock::now();", &["Clock::now"]),
        ("spawn(x); use tokio::spawn;", &["spawn"]),
        // A declaration is no call, in its braces neither.
        ("use tokio::{join, time::sleep}; use std::{thread::sleep as nap, env::{var, vars as all}};", &[]),
        ("use std::{thread::sleep as nap}; nap(x);", &["nap"]),
        ("use std::process::Command; Command::new(x);", &["Command::new"]),
        ("use reqwest::Client; Client::builder(); Client::other();", &["Client::builder"]),
        ("use ::tokio::spawn; spawn(x);", &["spawn"]),
        ("use crate::sys as tokio; use ::tokio::spawn; spawn(x); tokio::spawn(x);", &["spawn"]),
        // Blocks have imports of their own.
        ("{ use tokio::spawn; spawn(x); } spawn(x);", &["spawn"]),
        ("use tokio::spawn; if a { spawn(x) } else { f(async || spawn(x)) }", &["spawn", "spawn"]),
        ("use std::time::Instant; { use crate::Instant; Instant::now(); } Instant::now();", &["Instant::now"]),
    ]);
}

#[test]
fn imports_from_elsewhere_are_the_users() {
    check(&[
        ("use crate::clock::Instant; Instant::now();", &[]),
        ("use super::time; time::sleep(x).await; time::Instant::now();", &[]),
        ("use self::own::{env, fs as files, thread}; env::var(x); files::read(x); thread::spawn(x);", &[]),
        ("use shop::time::sleep; sleep(x); use shop::fs; fs::read(x);", &[]),
        ("use crate::sys as std; std::env::var(x);", &[]),
        ("use crate::println; println!(\"x\");", &[]),
        ("use shop::Clock as SystemTime; SystemTime::now();", &[]),
        ("type Instant = (u8, u8); Instant::now();", &[]),
        ("mod time { pub fn sleep() {} } time::sleep();", &[]),
        ("struct SystemTime; enum Instant {} SystemTime::now(); Instant::now();", &[]),
        ("macro_rules! println { () => { std::println!() } } println!();", &[]),
        ("use task::*; use own::rand::*; spawn(x); random();", &[]),
        ("use crate::*; use rand::Rng; random();", &[]),
        ("use loop_::x as loop_; use loop_ as x; x::now();", &[]),
    ]);
}

#[test]
fn variables_and_functions_shadow_a_bare_name() {
    check(&[
        ("use tokio::time::sleep; let sleep = 3; sleep + 1;", &[]),
        ("use tokio::time::sleep; let sleep = sleep(x); sleep.await;", &["sleep"]),
        ("use tokio::spawn; let (a, spawn) = x; spawn(a);", &[]),
        ("use tokio::spawn; { fn spawn() {} spawn(); }", &[]),
        ("use tokio::spawn; list.map(|spawn| spawn(1)); list.map(|spawn: F, a| spawn(1), spawn(2));", &["spawn"]),
        ("use tokio::spawn; if let Some(spawn) = x { spawn(1) } else { spawn(2) }", &["spawn"]),
        ("use tokio::spawn; match x { A(spawn) if spawn(1) => spawn(2), B => spawn(3) }", &["spawn"]),
        ("use tokio::spawn; for spawn in x { spawn(1); } while let Some(spawn) = y { spawn(1) }", &[]),
        ("use tokio::spawn; tokio::select! { spawn = spawn(1) => spawn(2), _ = x => spawn(3) }", &["spawn", "spawn"]),
        ("use tokio::spawn; let Some(spawn) = x else { return spawn(1) }; spawn(2);", &["spawn"]),
        ("{ let time = 1; } use std::time; let time = 1; time::Instant::now();", &["time::Instant::now"]),
    ]);
    check_with("spawn: F", &[("spawn(1);", &[]), ("use tokio::spawn; spawn(1);", &["spawn"])]);
}

#[test]
fn a_mention_counts_and_a_type_does_not() {
    check(&[
        ("let now = SystemTime::now; now();", &["SystemTime::now"]),
        ("x.unwrap_or_else(SystemTime::now);", &["SystemTime::now"]),
        ("x.unwrap_or_else(rand::random::<u8>).map(f)", &["rand::random::<u8>"]),
        ("<SystemTime>::now(); <std::time::Instant>::now();", &["<SystemTime>::now", "<std::time::Instant>::now"]),
        ("<SystemTime as Clock>::now(); a < SystemTime; Vec::<SystemTime>::new(); f::<fn() -> Instant>();", &[]),
        ("let t: SystemTime = x; let u: std::fs::File = x; let v: Vec<tokio::net::TcpStream> = y;", &[]),
        ("fn nested() { SystemTime::now() } macro_rules! m { () => { SystemTime::now() } }", &[]),
        ("use tokio::time::sleep; let x = S { sleep: 1 }; x.sleep; x.sleep(1); log!(sleep = 3);", &[]),
        ("use tokio::time::sleep; 'sleep: loop { break 'sleep; }", &[]),
        ("use tokio::time::sleep; let x = S { sleep }; f(sleep);", &["sleep", "sleep"]),
        ("let mut r = rand::rngs::OsRng; f(&mut rand::rngs::OsRng);", &["rand::rngs::OsRng", "rand::rngs::OsRng"]),
        ("let mut r: rand::rngs::OsRng = x; f::<rand::rngs::OsRng>();", &[]),
        ("rand::random::<u8>()", &["rand::random::<u8>"]),
    ]);
}

#[test]
fn what_has_elapsed_is_read_from_the_clock() {
    check(&[
        (
            "start.elapsed()?; UNIX_EPOCH.elapsed(); f(x).elapsed();",
            &["start.elapsed", "UNIX_EPOCH.elapsed", "elapsed"],
        ),
        ("SystemTime::elapsed(&start); x.map(Instant::elapsed);", &["SystemTime::elapsed", "Instant::elapsed"]),
        ("job.elapsed; job.elapsed(unit); elapsed(); Job::elapsed(&job); let elapsed = 1;", &[]),
        (r#"ctx.run("elapsed", async || start.elapsed()).await;"#, &[]),
    ]);
}

#[test]
fn macros_that_print_are_refused_and_those_that_trace_are_not() {
    check(&[
        (
            "println!(\"{x}\"); print!(); eprintln!(\"a\"); eprint!(\"b\");",
            &["println!", "print!", "eprintln!", "eprint!"],
        ),
        ("std::println!(\"{x}\"); ::std::dbg!(x);", &["std::println!", "::std::dbg!"]),
        ("use std::println; println!();", &["println!"]),
        ("let y = dbg!(x) + 1; nanoid!(); nanoid::nanoid!(10);", &["dbg!", "nanoid!", "nanoid::nanoid!"]),
        ("tracing::info!(\"{x}\"); info!(x); crate::println!(); my::println!(); write!(f, \"a\"); a != (b);", &[]),
        ("let println = 3; println + 1; f(print, dbg);", &[]),
    ]);
}

#[test]
fn macros_and_closures_are_looked_into() {
    check(&[
        ("format!(\"{:?}\", SystemTime::now()); vec![1, rand::random()];", &["SystemTime::now", "rand::random"]),
        ("assert!(x < Instant::now()); tokio::join!(tokio::time::sleep(x));", &["Instant::now", "tokio::time::sleep"]),
        ("tokio::select! { _ = tokio::time::sleep(x) => env::var(y), }", &["tokio::time::sleep", "env::var"]),
        ("list.map(|x| async move { fs::read(x) }); let f = async || Uuid::new_v4();", &["fs::read", "Uuid::new_v4"]),
        ("println!(\"{:?}\", SystemTime::now());", &["println!", "SystemTime::now"]),
        ("fs::write(fs::read(x))", &["fs::write", "fs::read"]),
    ]);
}

#[test]
fn steps_may_do_all_of_it() {
    check(&[
        (r#"ctx.run("a", async || SystemTime::now()).await;"#, &[]),
        (
            r#"ctx.run("a", async move |step| { println!("{}", rand::random::<u8>()); tokio::spawn(x).await }).await;"#,
            &[],
        ),
        (r#"ctx.run("a", || async { for x in &map { fs::write(x) } });"#, &[]),
        (r#"ctx.run("a", async || { use tokio::spawn; spawn(x); });"#, &[]),
        ("ctx.run(tokio::fs::read_to_string, &path).await; ctx.run(reqwest::get, url);", &[]),
        (r#"ctx.run("pause", tokio::task::yield_now).await;"#, &[]),
        ("ctx.run(f, SystemTime::now()).await;", &["SystemTime::now"]),
        (r#"ctx.run("a", make(SystemTime::now())).await;"#, &["SystemTime::now"]),
        ("ctx.run(f, 1).named(format!(\"{}\", Uuid::new_v4())).await;", &["Uuid::new_v4"]),
        (
            r#"tokio::join!(ctx.run("a", async || SystemTime::now()), ctx.run(f, SystemTime::now()));"#,
            &["SystemTime::now"],
        ),
    ]);
}

const MAP: &str = "m: HashMap<u8, u8>, s: &'a mut HashSet<u8>, o: &crate::HashMap<u8, u8>, h: HashMap<u8, u8, Fixed>";

#[test]
fn iteration_over_a_hash_map_is_refused() {
    let methods = [
        "iter",
        "iter_mut",
        "keys",
        "values",
        "values_mut",
        "into_iter",
        "into_keys",
        "into_values",
        "drain",
        "retain",
        "extract_if",
        "difference",
        "union",
        "intersection",
        "symmetric_difference",
    ];
    for method in methods {
        check_with(MAP, &[(&format!("let x = m.{method}(y).map(f); let y = s.{method}(x);"), &["m", "s"])]);
    }
    check_with(
        MAP,
        &[
            ("for (k, v) in m { f(k); }", &["m"]),
            ("for (k, v) in &m {} for (k, v) in &mut m {} for x in s {}", &["m", "m", "s"]),
            ("for (k, v) in m.clone() {} for k in m.keys() {} for (i, x) in s.iter().enumerate() {}", &["m", "m", "s"]),
            ("join_all(m.iter().map(|(k, v)| ctx.run(f, k))).await", &["m"]),
            ("let list: Vec<_> = m.into_iter().collect();", &["m"]),
            ("let first = m.keys().next(); let three = m.values().take(3).sum::<u8>();", &["m", "m"]),
            ("let x = { let y = vec![m.iter().collect::<Vec<_>>()]; y };", &["m"]),
            ("tokio::join!(async { for x in &m {} });", &["m"]),
            ("m.retain(|x| rand::random());", &["rand::random", "m"]),
            ("let text = m.iter().map(f).collect::<Result<BTreeMap<_, _>, E>>();", &["m"]),
        ],
    );
}

#[test]
fn what_does_not_depend_on_the_order_is_not_refused() {
    check_with(
        MAP,
        &[
            ("m.get(x); m.contains_key(x); m.insert(1, 2); m.len(); m.entry(x).or_default(); m[&x]; m.remove(x);", &[]),
            ("s.contains(x); s.is_subset(y); s.is_empty(); m.clone(); f(&m); f(m.clone()); ctx.run(f, &m).await;", &[]),
            ("BTreeMap::from_iter(m); let x: BTreeMap<_, _> = f(m);", &[]),
            ("BTreeMap::from_iter(m.iter()); BTreeSet::from_iter(s.iter().map(f));", &[]),
            ("Vec::from_iter(m.iter()); f(BTreeMap::from_iter(x), m.iter());", &["m", "m"]),
            ("m.into_iter().collect::<BTreeMap<_, _>>(); m.iter().collect::<std::collections::BTreeSet<_>>();", &[]),
            ("s.difference(&x).cloned().collect::<HashSet<_>>(); m.keys().collect::<HashSet<_>>();", &[]),
            ("m.values().sum::<u8>(); m.values().copied().product::<u8>(); m.keys().filter(f).count();", &[]),
            ("m.values().min(); m.values().max_by_key(f).unwrap(); m.iter().all(f); m.iter().any(f);", &[]),
            ("let x: BTreeMap<_, _> = m.into_iter().map(f).collect();", &[]),
            ("let mut x: std::collections::BTreeSet<u8> = s.iter().copied().collect();", &[]),
            ("let y: HashMap<_, _> = m.iter().collect();", &[]),
            ("let x: Vec<_> = m.iter().collect(); let y: BTreeMap<_, _> = f(m.iter().collect());", &["m", "m"]),
            ("let x: u8 = m.values().map(|v| ctx.run(f, v)).count();", &["m"]),
            ("for x in m.get(y) {} for x in m.into_iter().collect::<BTreeMap<_, _>>() {} for x in n {}", &[]),
            ("for x in m[&1] {} for x in &m.list {} for x in m.get(y) {}", &[]),
            ("o.iter(); for x in o {} for x in &h {} h.keys();", &[]),
            ("x.m.iter(); m::iter(); for x in x.m {} S { m: x }.m.keys();", &[]),
        ],
    );
}

#[test]
fn variables_are_seen_to_be_hash_maps() {
    let made = [
        "let n: HashMap<_, _> = x;",
        "let mut n: &HashMap<u8, Vec<(u8, u8)>> = x;",
        "let n: std::collections::HashSet<u8> = x;",
        "let n: ::std::collections::HashMap<u8, u8> = x;",
        "let n = HashMap::new();",
        "let mut n = HashSet::from([1, 2]);",
        "let n = HashMap::<u8, u8>::with_capacity(3);",
        "let n = std::collections::HashMap::from_iter(x);",
        "let n = HashMap::default();",
        "let n = x.iter().map(f).collect::<HashMap<_, _>>();",
        "let n = m; let n = &n; let n = n.clone();",
        "use std::collections::HashMap as Map; let n = Map::new();",
        "use std::collections::*; let n: HashMap<u8, u8> = x;",
        "use std::collections::hash_map; let n: hash_map::HashMap<u8, u8> = x;",
        "type Map = HashMap<u8, u8>; let n = Map::new();",
    ];
    for declaration in made {
        check_with(MAP, &[(&format!("{declaration} n.keys();"), &["n"])]);
    }
    let not_made = [
        "let n: BTreeMap<_, _> = m;",
        "let n: HashMap<u8, u8, Fixed> = x;",
        "let n = HashMap::with_hasher(x);",
        "let n = HashMap::len(&m);",
        "let n = x.collect::<Vec<_>>();",
        "let n = x.collect::<HashMap<_, _>>().len();",
        "let n = f(m);",
        "let n = [m];",
        "let n: Option<HashMap<u8, u8>> = x;",
        "use crate::collections::HashMap; let n = HashMap::new();",
        "use indexmap::IndexMap as HashMap; let n: HashMap<u8, u8> = x;",
    ];
    for declaration in not_made {
        check_with(MAP, &[(&format!("{declaration} n.keys();"), &[])]);
    }
}

#[test]
fn a_name_stops_being_a_hash_map() {
    check_with(
        MAP,
        &[
            ("let m = f(m); m.iter();", &[]),
            ("let m: Vec<_> = m.into_iter().collect(); m.iter();", &["m"]),
            ("let m = m.into_iter().collect::<BTreeMap<_, _>>(); for x in &m {}", &[]),
            ("{ let m = vec![1]; m.iter(); } m.iter();", &["m"]),
            ("{ let n = HashMap::new(); } n.iter();", &[]),
            ("list.map(|m| m.iter()); list.map(|(a, m)| { m.iter() }); m.iter();", &["m"]),
            ("let f = |m: Vec<u8>| m.iter(); m.iter();", &["m"]),
            ("let f = |n: HashMap<u8, u8>| n.iter(); n.iter();", &["n"]),
            ("for m in list { m.iter(); } m.iter();", &["m"]),
            ("if let Some(m) = m.get(x) { m.iter(); } m.iter();", &["m"]),
            ("if let Some(m) = x && m.iter().next().is_some() { m.iter(); }", &[]),
            ("while let Some(S { a: m, .. }) = x.next() { m.iter(); }", &[]),
            ("match x { Some(m) if m.iter().any(f) => m.iter(), None => m.iter() }", &["m"]),
            ("match x { A => { 1 } B(m) => { m.iter() } C => m.iter().next() }", &["m"]),
            ("tokio::select! { m = ctx.run(f), if a => m.iter(), m = g(), if b => { m.iter() } }", &[]),
            ("tokio::select! { m = ctx.run(f) => m.iter(), _ = g(m.iter()) => 1 }", &["m"]),
            ("let Some(m) = x else { return }; m.iter();", &[]),
            ("a | m | b; m.iter();", &["m"]),
            ("x || m.iter().next().is_some(); f(|| m.iter());", &["m", "m"]),
        ],
    );
}

#[test]
fn messages_name_what_to_write_instead() {
    let context = || "ctx".to_owned();
    let call = |name: &str| name.to_owned();
    for (body, refusal) in [
        ("SystemTime::now()", Refusal::ClockInBody { call: call("SystemTime::now"), context: context() }),
        ("Instant::now()", Refusal::InstantInBody { call: call("Instant::now"), context: context() }),
        ("Uuid::new_v4()", Refusal::RandomInBody { call: call("Uuid::new_v4"), context: context() }),
        ("env::var(x)", Refusal::EnvironmentInBody { call: call("env::var"), context: context() }),
        ("fs::read(x)", Refusal::FilesInBody { call: call("fs::read"), context: context() }),
        ("tokio::spawn(x)", Refusal::SpawnInBody { call: call("tokio::spawn") }),
        ("thread::sleep(x)", Refusal::ThreadInBody { call: call("thread::sleep"), context: context() }),
        ("process::exit(x)", Refusal::ProcessInBody { call: call("process::exit"), context: context() }),
        ("time::sleep(x)", Refusal::TimerInBody { call: call("time::sleep"), context: context() }),
        ("reqwest::get(x)", Refusal::NetworkInBody { call: call("reqwest::get"), context: context() }),
        ("mpsc::channel(x)", Refusal::ChannelInBody { call: call("mpsc::channel") }),
        ("println!(x)", Refusal::OutputInBody { call: call("println!"), context: context() }),
        ("io::stdin()", Refusal::InputInBody { call: call("io::stdin"), context: context() }),
    ] {
        assert_eq!(messages("", body), [refusal.to_string()], "{body}");
    }
    let collected = "BTreeSet<_>".to_owned();
    let refusal =
        Refusal::HashOrderInBody { name: call("s"), hashed: "HashSet".into(), sorted: "BTreeSet".into(), collected };
    assert_eq!(messages(MAP, "for x in s {}"), [refusal.to_string()]);
}

/// What takes the place of a refused call is an expression, wherever the call stood.
#[test]
fn a_refusal_leaves_the_rest_as_it_is() {
    let check = |body: TokenStream, expected: &[TokenStream]| {
        let function = parse(&quote!(async fn f(ctx: &Context, m: HashMap<u8, u8>) { #body })).unwrap();
        let rewritten = rewrite(&function, None, None, &Runtime::new(None)).body.to_string();
        for part in expected {
            assert!(rewritten.contains(&part.to_string()), "no `{part}` in {rewritten}");
        }
    };
    check(quote!(std::env::var("HOME").is_ok()), &[quote!(("HOME").is_ok())]);
    check(quote!(rand::random::<u8>() + 1), &[quote!(() + 1)]);
    check(quote!(env::var("HOME");), &[quote!(let _ = env::var;), quote!(("HOME");)]);
    check(quote!(println! { "{x}" } f()), &[quote!(f())]);
    check(
        quote!(for x in &m {
            f(x)
        }),
        &[quote!(for x in &m {
            f(x)
        })],
    );
    check(quote!(m.retain(|x| f(x))), &[quote!(m.retain(|x| f(x)))]);
}
