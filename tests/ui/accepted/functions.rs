//! What a durable function's signature and attributes may say.
#![deny(warnings, clippy::pedantic, missing_docs)]

use std::borrow::Cow;

use durable_runtime::{Context, DurableFunction, durable};

use crate::run;

async fn next(number: u32) -> u32 {
    tokio::task::yield_now().await;
    number + 1
}

/// No parameters, no result.
#[durable]
pub async fn nothing(_: Context) {}

/// One parameter, and a context that it does not use.
#[durable]
pub(crate) async fn one(_ctx: Context, number: u32) -> u32 {
    number
}

/// Several parameters, with patterns, and a context with another name.
#[durable]
pub async fn several(
    mut context: Context,
    mut number: u32,
    (first, second): (u32, String),
    [third, _]: [u32; 2],
    _: Cow<'static, str>,
) -> Result<(u32, String), String> {
    number += context.run(next, first).await;
    context = context.clone();
    number += context.run(next, third).await;
    Ok((number, second))
}

/// Sixteen parameters.
#[durable]
#[rustfmt::skip]
#[expect(clippy::too_many_arguments, clippy::many_single_char_names, reason = "the most there may be")]
async fn sixteen(
    ctx: durable_runtime::Context,
    a: u8, b: u8, c: u8, d: u8, e: u8, f: u8, g: u8, h: u8, i: u8, j: u8, k: u8, l: u8, m: u8, n: u8, o: u8, p: u8,
) -> u32 {
    ctx.run(next, u32::from(a + b + c + d + e + f + g + h + i + j + k + l + m + n + o + p)).await
}

/// Has a name that is a keyword.
#[durable]
async fn r#match(ctx: Context) -> u32 {
    ctx.run(next, 1).await
}

/// Says `where` without being generic.
#[durable]
async fn bounded(ctx: Context, number: u32) -> u32
where
    u32: Copy,
{
    ctx.run(next, number).await
}

/// Is there, and has a twin that is not.
#[cfg(test)]
#[durable]
async fn configured(ctx: Context) -> u32 {
    ctx.run(next, 1).await
}

#[cfg(not(test))]
#[durable]
async fn configured(ctx: Context, missing: Missing) {}

/// Was once the right one.
#[deprecated = "use `one`"]
#[durable]
async fn old(ctx: Context) -> u32 {
    ctx.run(next, 1).await
}

/// Has lints and other attributes of its own.
#[allow(clippy::many_single_char_names)]
#[durable]
#[must_use]
#[expect(unused_variables, reason = "to see that this reaches the code")]
async fn attributed(ctx: Context, a: u32, b: u32, c: u32, d: u32, e: u32) -> u32 {
    #![allow(clippy::let_and_return)]
    #[cfg(not(test))]
    let sum = ctx.run(missing).await;
    #[cfg(test)]
    let sum = ctx.run(next, a + b + c + d).await;
    sum
}

/// Means itself by its name, as every other function does.
#[durable]
async fn itself(_ctx: Context) -> String {
    fn name_of<F: DurableFunction>(_: F) -> &'static str {
        F::NAME
    }
    name_of(itself).to_owned()
}

/// Has functions and macros inside.
#[durable]
async fn nested(ctx: Context) -> u32 {
    struct Engine(u32);
    impl Engine {
        fn run(&self, number: u32) -> u32 {
            number + self.0
        }
    }
    fn other(ctx: &Engine) -> u32 {
        ctx.run(1)
    }
    macro_rules! twice {
        ($number:expr) => {
            2 * $number
        };
    }
    twice!(ctx.run(next, other(&Engine(100))).await)
}

macro_rules! declare {
    ($name:ident, $callee:path, $number:expr, $label:literal) => {
        /// Comes out of a macro.
        #[durable(name = $label)]
        async fn $name(ctx: Context) -> u32 {
            ctx.run($callee, $number).await + ctx.run($label, async || $number).await
        }
    };
}

declare!(declared, self::next, 1 + 2, "declared by a macro");

#[tokio::test]
async fn all_kinds_of_functions_run() {
    run(nothing, ()).await;
    assert_eq!(run(one, 3).await, 3);
    let input = (1, (2, "text".to_owned()), [3, 4], "owned".into());
    assert_eq!(run(several, input).await, Ok((8, "text".to_owned())));
    assert_eq!(run(sixteen, (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)).await, 121);
    assert_eq!(run(r#match, ()).await, 2);
    assert_eq!(run(bounded, 1).await, 2);
    assert_eq!(run(configured, ()).await, 2);
    assert_eq!(run(attributed, (1, 2, 3, 4, 5)).await, 11);
    assert_eq!(run(itself, ()).await, "itself");
    assert_eq!(run(nested, ()).await, 204);
    assert_eq!(run(declared, ()).await, 7);
}

#[tokio::test]
#[expect(deprecated)]
async fn a_deprecated_function_warns_where_it_is_used_only() {
    assert_eq!(run(old, ()).await, 2);
}

#[test]
fn a_function_is_known_by_its_plain_name() {
    assert_eq!(r#match::NAME, "match");
    assert_eq!(nothing::VERSION, 1);
    assert!(nothing::MODULE.ends_with("accepted::functions"), "{}", nothing::MODULE);
    assert_ne!(nothing::FINGERPRINT, one::FINGERPRINT);
    assert_eq!(format!("{nothing:?}"), "nothing");
}
