//! What becomes of helpers.

use expect_test::expect;

use super::{check, expansion};

#[test]
fn a_helper_stays_a_function() {
    check(
        "crate = crate",
        "
        /// Docs.
        #[must_use]
        pub async fn total<'a, T: Price>(ctx: &'a Context, items: &[T]) -> u64 {
            ctx.run(sum::<T>, items).await
        }",
        &expect![[r#"
            /// Docs.
            #[must_use]
            #[allow(clippy::double_must_use)]
            pub fn total<'a, T: Price>(
                ctx: &'a Context,
                items: &[T],
            ) -> impl crate::DurableFuture<Output = u64> {
                crate::__private::block(async move {
                    if let ::core::option::Option::Some(__result) = ::core::option::Option::None::<
                        u64,
                    > {
                        return __result;
                    }
                    #[allow(clippy::diverging_sub_expression)]
                    let __result: u64 = {
                        use crate::__private::Awaited as _;
                        ctx.__step(
                                "sum",
                                (items,),
                                move |__step, (__a0,)| crate::__private::call1(
                                    &sum::<T>,
                                    __step,
                                    __a0,
                                ),
                            )
                            .__durable()
                            .await
                    };
                    #[allow(unreachable_code)] __result
                })
            }
        "#]],
    );
}

#[test]
fn a_refused_helper_can_still_be_used() {
    check(
        "version = 2",
        "fn process<T>(ctx: &Context, order: T) -> u8 { ctx.run() }",
        &expect![[r##"
            #[allow(unused, clippy::all, clippy::pedantic)]
            fn process<T>(
                ctx: &Context,
                order: T,
            ) -> impl ::durable_runtime::DurableFuture<Output = u8> {
                ::durable_runtime::__private::block(async move {
                    if let ::core::option::Option::Some(__result) = ::core::option::Option::None::<
                        u8,
                    > {
                        return __result;
                    }
                    #[allow(clippy::diverging_sub_expression)]
                    let __result: u8 = {
                        ::core::compile_error!(
                            "`ctx.run()` needs something to run: `ctx.run(charge, order)`, or `ctx.run(\"name\", async || …)` for an inline step"
                        )
                    };
                    #[allow(unreachable_code)] __result
                })
            }
            ::core::compile_error!("a durable function waits for its steps: write `async fn`");
            ::core::compile_error!(
                "a helper (`ctx: &Context`) is part of its caller's run and has no `version` of its own: remove the option, or take `ctx: Context` to make it a durable function"
            );
        "##]],
    );
}

#[test]
fn other_macros_on_a_helper_go_first() {
    check(
        "crate = d",
        "#[doc = \"a\"] #[tracing::instrument(skip_all)] async fn f(ctx: &Context) { g().await }",
        &expect![[r#"
            ///a
            #[tracing::instrument(skip_all)]
            #[d::durable(__last, crate = d)]
            async fn f(ctx: &Context) {
                g().await
            }
        "#]],
    );
    // A second time there is nothing to wait for, and a durable function holds an `async fn` anyway.
    assert!(expansion("__last, crate = d", "#[other] async fn f(ctx: &Context) {}").contains("d::DurableFuture"));
    assert!(expansion("", "#[other] async fn f(ctx: Context) {}").contains("DurableFunction for f"));
    for inert in ["inline", "expect(unused)", "clippy::msrv = \"1\"", "rustfmt::skip", "must_use", "cfg(unix)"] {
        let expanded = expansion("", &format!("#[{inert}] async fn f(ctx: &Context) {{}}"));
        assert!(expanded.contains("DurableFuture<"), "{expanded}");
    }
}
