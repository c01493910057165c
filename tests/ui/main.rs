//! What `#[durable]` accepts and refuses.
//!
//! `refused/` holds one program per refusal, compared with what the compiler says about it. `accepted/` holds modules
//! that must compile without a warning, and that run. After a change of messages, look at the difference that
//! `TRYBUILD=overwrite cargo test -p durable-tests --test ui` makes.

use durable_runtime::{DurableFunction, Runtime, StepInfo};

/// The programs that must compile, without any warning, and do what they say.
pub mod accepted {
    pub mod awaits;
    pub mod callees;
    pub mod concurrency;
    pub mod continuing;
    pub mod functions;
    pub mod helpers;
    pub mod inline_steps;
    pub mod macros;
    pub mod nondeterminism;
    pub mod options;
    pub mod undo;
}

/// Runs `function` to its end.
async fn run<F: DurableFunction>(function: F, input: F::Input) -> F::Output {
    run_and_inspect(function, input).await.0
}

/// Runs `function` to its end, and looks at its steps.
async fn run_and_inspect<F: DurableFunction>(function: F, input: F::Input) -> (F::Output, Vec<StepInfo>) {
    let runtime = Runtime::builder().in_memory().await.expect("an empty store opens");
    let run = runtime.start("run", function, input).await.expect("a first run starts");
    let output = run.await.expect("the run ends");
    let info = runtime.get("run").await.expect("the store is read").expect("the run is there");
    (output, info.steps)
}

/// R10.
#[test]
fn refusals_say_what_is_wrong_and_nothing_else_fails() {
    trybuild::TestCases::new().compile_fail("ui/refused/*.rs");
}

#[test]
fn every_accepted_program_is_compiled() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/ui/accepted");
    let this = include_str!("main.rs");
    for file in std::fs::read_dir(folder).expect("the folder is there") {
        let name = file.expect("the folder is read").file_name().into_string().expect("names are text");
        let module = name.strip_suffix(".rs").expect("there are only modules");
        assert!(this.contains(&format!("pub mod {module};")), "{name} is not compiled: add it to `mod accepted`");
    }
}
