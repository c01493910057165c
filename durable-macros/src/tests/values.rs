//! A value that hides the function of its name.

use super::{check_function_refused, check_refused};
use crate::diagnostics::Refusal;

fn hidden(name: &str) -> Refusal {
    Refusal::ValueAsCallee { name: name.into() }
}

#[test]
fn a_parameter_of_a_durable_function_is_no_callee() {
    for (body, count) in [
        ("ctx.run(charge, 1).await", 1),
        ("join!(ctx.run(charge, 1), ctx.run(other, 1))", 1),
        ("if true { ctx.run(charge).await }", 1),
        ("ctx.run(&charge, 1).await", 0),
        ("ctx.run(self::charge, charge).await", 0),
        ("ctx.run(Type::charge, charge).await", 0),
        ("ctx.run(charge::<u8>, 1).await", 0),
        ("let charge = async |a: u8| a; ctx.run(charge, 1).await", 0),
        ("ctx.run(charging, 1).await", 0),
    ] {
        let refused = vec![hidden("charge"); count];
        check_function_refused(&format!("async fn f(ctx: Context, charge: u64) {{ {body} }}"), &refused);
    }
    check_function_refused(
        "async fn f(ctx: Context, charge: HashMap<u8, u8>) { ctx.run(charge) }",
        &[hidden("charge")],
    );
}

#[test]
fn what_a_step_has_returned_is_no_callee() {
    check_refused("let a = ctx.run(a, 1).await; ctx.run(a, 2).await", &[hidden("a")]);
    check_refused("let mut a = ctx.run(a, 1).retry(p).await?; ctx.run(a).await", &[hidden("a")]);
    check_refused("let a = ctx.run(a, 1).await; { let a = closure(); ctx.run(a).await }", &[]);
    check_refused("{ let a = ctx.run(a, 1).await; } ctx.run(a, 2).await", &[]);
    check_refused("let a = ctx.run(a, 1); ctx.run(a, 2).await", &[]);
    check_refused("let a = makes_a_closure(&ctx).await; ctx.run(a, 2).await", &[]);
}

#[test]
fn a_parameter_of_a_helper_may_be_a_function() {
    let helper = "async fn f<F: AsyncFn() -> u8>(ctx: &Context, charge: F) -> u8 { ctx.run(charge).await }";
    check_function_refused(helper, &[]);
}

#[test]
fn a_parameter_with_the_name_of_the_function_is_refused_alone() {
    let named = Refusal::ParameterNamedAsFunction { name: "order".into() };
    check_function_refused(
        "async fn order(ctx: Context, order: u8) -> u8 { ctx.run(charge, order + 1).await }",
        &[named],
    );
    check_function_refused("async fn order(ctx: &Context, order: u8) -> u8 { order }", &[]);
}
