//! The whole macro at work, without a compiler.

mod awaits;
mod helpers;
mod values;

use expect_test::{Expect, expect};
use proc_macro2::TokenStream;
use quote::quote;

use crate::diagnostics::Refusal;
use crate::expand::durable;
use crate::options::Options;

/// The expansion of `#[durable] item`, as rustfmt would show it.
fn expansion(options: &str, item: &str) -> String {
    let expanded = durable(&options.parse().unwrap(), &item.parse().unwrap());
    prettyplease::unparse(&syn::parse2(expanded.clone()).unwrap_or_else(|error| panic!("{error}: {expanded}")))
}

fn check(options: &str, item: &str, expected: &Expect) {
    expected.assert_eq(&expansion(options, item));
}

/// The expansion of a helper with this body, without the signature.
fn check_body(body: &str, expected: &Expect) {
    let expanded = expansion("crate = d", &format!("async fn f(ctx: &C::Context) -> impl T {{ {body} }}"));
    let (_, body) = expanded.split_once("d::__private::block(async move {\n").unwrap();
    let (body, errors) = body.split_once("\n    })\n}\n").unwrap();
    let lines = body.lines().map(|line| line.strip_prefix("        ").unwrap_or(line).to_owned() + "\n");
    expected.assert_eq(&(lines.collect::<String>() + errors));
}

/// Checks that the body is refused with exactly these messages.
fn check_refused(body: &str, refusals: &[Refusal]) {
    check_function_refused(&format!("async fn f(ctx: &Context) {{ {body} }}"), refusals);
}

/// Checks that the function is refused with exactly these messages.
fn check_function_refused(function: &str, refusals: &[Refusal]) {
    let expanded = expansion("", function);
    // Long messages are written over several lines, so white space does not count.
    let squeeze = |text: &str| text.replace("\\\"", "\"").split_whitespace().collect::<String>();
    let squeezed = squeeze(&expanded);
    for refusal in refusals {
        assert!(squeezed.contains(&squeeze(&refusal.to_string())), "{function}: no `{refusal}` in:\n{expanded}");
    }
    assert_eq!(expanded.matches("compile_error!").count(), refusals.len(), "{function}: {expanded}");
}

#[test]
fn a_durable_function() {
    check(
        "",
        "
        /// Charges an order.
        #[deprecated]
        #[allow(clippy::pedantic)]
        #[tracing::instrument]
        pub(crate) async fn process_order(mut ctx: Context, order: Order, (a, _): (u32, u8)) -> Result<Receipt, Error>
        where
            Order: Clone,
        {
            let charge = ctx.run(Gateway::charge, &order, a).retry(3).await?;
            Ok(Receipt { charge })
        }",
        &expect![[r#"
            /// Charges an order.
            #[deprecated]
            #[allow(clippy::pedantic)]
            #[allow(non_camel_case_types, dead_code, clippy::exhaustive_structs)]
            #[derive(Clone, Copy, Debug)]
            pub(crate) struct process_order;
            #[allow(clippy::pedantic)]
            #[allow(deprecated)]
            impl ::durable_runtime::DurableFunction for process_order {
                type Input = (Order, (u32, u8));
                type Output = Result<Receipt, Error>;
                const NAME: &'static str = "process_order";
                const VERSION: u32 = 1;
                const FINGERPRINT: u64 = 5108464747133759604;
                const MODULE: &'static str = ::core::module_path!();
                const ON_CHANGE: ::durable_runtime::OnChange = ::durable_runtime::OnChange::Halt;
                const CALL_SITES: &'static [::durable_runtime::CallSite] = &[
                    ::durable_runtime::CallSite {
                        name: "charge",
                        file: ::core::file!(),
                        line: 10,
                    },
                ];
                fn call(
                    __context: ::durable_runtime::Context,
                    (__p0, __p1): Self::Input,
                ) -> ::std::pin::Pin<
                    ::std::boxed::Box<
                        dyn ::core::future::Future<Output = Self::Output> + ::core::marker::Send,
                    >,
                > {
                    #[tracing::instrument]
                    #[allow(clippy::unused_async)]
                    async fn __process_order(
                        mut ctx: Context,
                        order: Order,
                        (a, _): (u32, u8),
                    ) -> Result<Receipt, Error>
                    where
                        Order: Clone,
                    {
                        use ::durable_runtime::__private::Awaited as _;
                        let charge = ctx
                            .__step(
                                "charge",
                                (&order, a),
                                move |__step, (__a0, __a1)| ::durable_runtime::__private::call2(
                                    &Gateway::charge,
                                    __step,
                                    __a0,
                                    __a1,
                                ),
                            )
                            .retry(3)
                            .__durable()
                            .await?;
                        Ok(Receipt { charge })
                    }
                    ::std::boxed::Box::pin(__process_order(__context, __p0, __p1))
                }
            }
            #[allow(clippy::pedantic)]
            #[allow(deprecated)]
            const _: () = {
                ::durable_runtime::__private::inventory::submit! {
                    ::durable_runtime::__private::Registration::of:: < process_order > ()
                }
            };
        "#]],
    );
}

#[test]
fn options_and_no_parameters() {
    check(
        r#"name = "orders.process", version = 7, crate = crate::inner"#,
        "#[cfg(unix)] async fn r#match(_: Context) {}",
        &expect![[r##"
            #[cfg(unix)]
            #[allow(non_camel_case_types, dead_code, clippy::exhaustive_structs)]
            #[derive(Clone, Copy, Debug)]
            struct r#match;
            #[cfg(unix)]
            #[allow(deprecated)]
            impl crate::inner::DurableFunction for r#match {
                type Input = ();
                type Output = ();
                const NAME: &'static str = "orders.process";
                const VERSION: u32 = 7;
                const FINGERPRINT: u64 = 8663531377737675152;
                const MODULE: &'static str = ::core::module_path!();
                const ON_CHANGE: crate::inner::OnChange = crate::inner::OnChange::Halt;
                const CALL_SITES: &'static [crate::inner::CallSite] = &[];
                fn call(
                    __context: crate::inner::Context,
                    (): Self::Input,
                ) -> ::std::pin::Pin<
                    ::std::boxed::Box<
                        dyn ::core::future::Future<Output = Self::Output> + ::core::marker::Send,
                    >,
                > {
                    #[allow(clippy::unused_async)]
                    async fn __match(_: Context) {}
                    ::std::boxed::Box::pin(__match(__context))
                }
            }
            #[cfg(unix)]
            #[allow(deprecated)]
            const _: () = {
                crate::inner::__private::inventory::submit! {
                    crate ::inner::__private::Registration::of:: < r#match > ()
                }
            };
        "##]],
    );
}

#[test]
fn one_parameter_is_no_tuple() {
    let expanded = expansion("", "async fn f(ctx: Context, order: Order) -> u8 { 1 }");
    assert!(expanded.contains("type Input = Order;"), "{expanded}");
    assert!(expanded.contains("__p0: Self::Input"), "{expanded}");
}

#[test]
fn callees() {
    check_body(
        "
        ctx.run(charge).await;
        ctx.run(self::pay::<Card, 3>, &order.user, 3 + 4, vec![1, 2],).await?;
        ctx.run(<Gateway as Pay>::r#match, ctx.run(inner).await);
        ctx.run(&callback, 1);
        ",
        &expect![[r#"
            use d::__private::Awaited as _;
            ctx.__step("charge", (), move |__step, ()| d::__private::call0(&charge, __step))
                .__durable()
                .await;
            ctx.__step(
                    "pay",
                    (&order.user, 3 + 4, vec![1, 2]),
                    move |__step, (__a0, __a1, __a2)| d::__private::call3(
                        &self::pay::<Card, 3>,
                        __step,
                        __a0,
                        __a1,
                        __a2,
                    ),
                )
                .__durable()
                .await?;
            ctx.__step(
                "match",
                (
                    ctx
                        .__step(
                            "inner",
                            (),
                            move |__step, ()| d::__private::call0(&inner, __step),
                        )
                        .__durable()
                        .await,
                ),
                move |__step, (__a0,)| d::__private::call1(
                    &<Gateway as Pay>::r#match,
                    __step,
                    __a0,
                ),
            );
            ctx.__step(
                "callback",
                (1,),
                {
                    let __callee = &callback;
                    move |__step, (__a0,)| d::__private::call1(__callee, __step, __a0)
                },
            );
        "#]],
    );
}

#[test]
fn inline_steps() {
    check_body(
        r#"
        ctx.run("a", async || fetch(&order).await).await;
        ctx.run("b", async move |step: StepContext| { step.attempt() }).named("b2");
        ctx.run("c", || async { 1 });
        ctx.run("d", |_| async { 1 });
        ctx.run("e", body);
        "#,
        &expect![[r#"
            use d::__private::Awaited as _;
            ctx.__step(
                    "a",
                    (),
                    {
                        let __body = ::std::sync::Arc::new(
                            d::__private::async_closure(async || fetch(&order).await),
                        );
                        move |_, ()| {
                            let __body = ::std::sync::Arc::clone(&__body);
                            d::__private::called(async move { __body().await })
                        }
                    },
                )
                .__durable()
                .await;
            ctx.__step(
                    "b",
                    (),
                    {
                        let __body = ::std::sync::Arc::new(
                            d::__private::async_closure_with_step(async move |
                                step: StepContext|
                            { step.attempt() }),
                        );
                        move |__step, ()| {
                            let __body = ::std::sync::Arc::clone(&__body);
                            d::__private::called(async move { __body(__step).await })
                        }
                    },
                )
                .named("b2");
            ctx.__step(
                "c",
                (),
                {
                    let __body = ::std::sync::Arc::new(
                        d::__private::closure(|| async { 1 }),
                    );
                    move |_, ()| {
                        let __body = ::std::sync::Arc::clone(&__body);
                        d::__private::called(async move {
                            d::__private::returned(__body()).await
                        })
                    }
                },
            );
            ctx.__step(
                "d",
                (),
                {
                    let __body = ::std::sync::Arc::new(
                        d::__private::closure_with_step(|_| async { 1 }),
                    );
                    move |__step, ()| {
                        let __body = ::std::sync::Arc::clone(&__body);
                        d::__private::called(async move {
                            d::__private::returned(__body(__step)).await
                        })
                    }
                },
            );
            ctx.__step(
                "e",
                (),
                {
                    let __body = body;
                    move |__step, ()| d::__private::call0(&__body, __step)
                },
            );
        "#]],
    );
}

#[test]
fn macros_and_closures_are_reached_and_nested_functions_are_not() {
    check_body(
        r#"
        let a = join!(ctx.run(f), async { ctx.run(g, 1).await });
        let b = list.iter().map(|x| ctx.run(h, x));
        format!("{}", vec![ctx.run(i).await; 0..ctx.run(j).await]);
        let c = S { ctx: ctx.run(k), run: self.ctx.run(l), x: other::ctx.run(m) };
        fn nested<T: Fn() -> [u8; 1]>(ctx: Engine) where T: X { ctx.run(not_ours) }
        let d: fn(u8) = |x| { ctx.run(o) };
        macro_rules! step { ($f:ident) => { ctx.run($f) } }
        "#,
        &expect![[r#"
            use d::__private::Awaited as _;
            let a = join!(
                d::__private::checked(ctx.__step("f", (), move | __step, () |
                d::__private::call0(& f, __step))),
                d::__private::checked(d::__private::block(async { ctx.__step("g", (1,), move
                | __step, (__a0,) | d::__private::call1(& g, __step, __a0)).__durable().
                await }))
            );
            let b = list
                .iter()
                .map(|x| {
                    ctx
                        .__step(
                            "h",
                            (x,),
                            move |__step, (__a0,)| d::__private::call1(&h, __step, __a0),
                        )
                });
            format!(
                "{}", vec![ctx.__step("i", (), move | __step, () | d::__private::call0(& i,
                __step)).__durable(). await; 0..ctx.__step("j", (), move | __step, () |
                d::__private::call0(& j, __step)).__durable(). await]
            );
            let c = S {
                ctx: ctx.__step("k", (), move |__step, ()| d::__private::call0(&k, __step)),
                run: self.ctx.run(l),
                x: other::ctx.run(m),
            };
            fn nested<T: Fn() -> [u8; 1]>(ctx: Engine)
            where
                T: X,
            {
                ctx.run(not_ours)
            }
            let d: fn(u8) = |x| {
                ctx.__step("o", (), move |__step, ()| d::__private::call0(&o, __step))
            };
            macro_rules! step {
                ($f:ident) => {
                    ctx.run($f)
                };
            }
        "#]],
    );
}

/// R2.
#[test]
fn branches_are_polled_in_order() {
    check_body(
        r"
        tokio::select! { a = ctx.run(f) => a, else => 0 };
        select! { biased; a = ctx.run(f) => a };
        select! { a = ctx.run(f) => a };
        ::tokio::join!(ctx.run(f), g());
        tokio::try_join!(biased; g());
        join!(g());
        mine::select!(g());
        futures::join!(g());
        futures::select_biased! { a = g() => a };
        tokio::pin!(g);
        select(a, b);
        ",
        &expect![[r#"
            tokio::select! {
                biased; a = d::__private::checked(ctx.__step("f", (), move | __step, () |
                d::__private::call0(& f, __step))) => a, else => 0
            };
            select! {
                biased; a = d::__private::checked(ctx.__step("f", (), move | __step, () |
                d::__private::call0(& f, __step))) => a
            };
            select! {
                biased; a = d::__private::checked(ctx.__step("f", (), move | __step, () |
                d::__private::call0(& f, __step))) => a
            };
            ::tokio::join!(
                biased; d::__private::checked(ctx.__step("f", (), move | __step, () |
                d::__private::call0(& f, __step))), d::__private::checked(g())
            );
            tokio::try_join!(biased; d::__private::checked(g()));
            join!(d::__private::checked(g()));
            mine::select!(g());
            futures::join!(d::__private::checked(g()));
            futures::select_biased! {
                a = d::__private::checked(g()) => a
            };
            tokio::pin!(g);
            select(a, b);
        "#]],
    );
}

#[test]
fn a_refused_durable_function_can_still_be_used() {
    check(
        "",
        "/// Docs. \n pub fn process<T>(ctx: Context, order: &Order) -> impl Sized { ctx.run() }",
        &expect![[r#"
            /// Docs.
            #[allow(non_camel_case_types, dead_code, clippy::exhaustive_structs)]
            #[derive(Clone, Copy, Debug)]
            pub struct process;
            #[allow(unused, clippy::all, clippy::pedantic)]
            const _: () = {
                type __Refused = ::core::array::IntoIter<
                    (),
                    {
                        ::core::compile_error!(
                            "a durable function waits for its steps: write `async fn`"
                        )
                    },
                >;
                #[allow(deprecated)]
                impl ::durable_runtime::DurableFunction for process {
                    type Input = __Refused;
                    type Output = __Refused;
                    const NAME: &'static str = "process";
                    const VERSION: u32 = 1;
                    const FINGERPRINT: u64 = 10025258961565985194;
                    const MODULE: &'static str = ::core::module_path!();
                    const ON_CHANGE: ::durable_runtime::OnChange = ::durable_runtime::OnChange::Halt;
                    const CALL_SITES: &'static [::durable_runtime::CallSite] = &[];
                    fn call(
                        _: ::durable_runtime::Context,
                        _: Self::Input,
                    ) -> ::std::pin::Pin<
                        ::std::boxed::Box<
                            dyn ::core::future::Future<Output = Self::Output> + ::core::marker::Send,
                        >,
                    > {
                        loop {}
                    }
                }
                #[allow(clippy::unused_async)]
                async fn __process<T>(ctx: Context, order: &Order) -> __Refused {
                    loop {}
                }
            };
            ::core::compile_error!(
                "a durable function is stored by name and started again after a crash, so it can't be generic: move the generic part into a helper with `ctx: &Context` or into a step, and call it from here with concrete types"
            );
            ::core::compile_error!(
                "a durable function's input is stored and read back after a crash, so it can't be borrowed: own it (`String` for `&str`, `Vec<T>` for `&[T]`, `T` for `&T`)"
            );
            ::core::compile_error!(
                "a durable function's result is stored, so its type must be written out, not `impl Trait`: name the type"
            );
            ::core::compile_error!(
                "`ctx.run()` needs something to run: `ctx.run(charge, order)`, or `ctx.run(\"name\", async || …)` for an inline step"
            );
        "#]],
    );
}

#[test]
fn other_items_are_left_as_they_are() {
    check(
        "",
        "pub struct Order { id: u32 }",
        &expect![[r##"
        pub struct Order {
            id: u32,
        }
        ::core::compile_error!(
            "#[durable] goes on an `async fn` only: move it to the function that takes `ctx: Context` or `ctx: &Context`"
        );
    "##]],
    );
    let without_body = durable(
        &quote!(bad),
        &quote!(
            async fn f(ctx: Context);
        ),
    )
    .to_string();
    assert!(without_body.starts_with("async fn f (ctx : Context) ;"), "{without_body}");
    assert_eq!(without_body.matches("compile_error").count(), 2, "{without_body}");
}

#[test]
fn every_refusal_of_a_body_is_in_the_place_of_the_call() {
    check_body(
        "let a = ctx.run(charge(order)).await?; tokio::join!(ctx.run());",
        &expect![[r#"
            use d::__private::Awaited as _;
            let a = ::core::compile_error!(
                "this calls the function before the step begins, and its effect would repeat on every replay: let the step call it, write `ctx.run(charge, order)`"
            )
                .__durable()
                .await?;
            tokio::join!(
                biased;
                d::__private::checked(::core::compile_error!("`ctx.run()` needs something to run: `ctx.run(charge, order)`, or `ctx.run(\"name\", async || …)` for an inline step"))
            );
        "#]],
    );
}

#[test]
fn callees_that_are_none_are_refused() {
    use Refusal::*;
    let called = |instead: &str| [CalledInPlace { instead: instead.into() }];
    let awaited = |instead: &str| [AwaitedInPlace { instead: instead.into() }];
    check_refused("ctx.continue_as_new(1).await", &[ContinuesInHelper]);
    check_refused(
        r#"ctx.run("x", async || ctx.continue_as_new(1).await)"#,
        &[OperationInsideStep { method: "continue_as_new".into() }],
    );
    check_refused("ctx.run()", &[RunWithoutCallee]);
    check_refused("ctx.run::<u8>(parse, x)", &[RunWithTypeArguments]);
    check_refused("ctx.run::<Vec<fn() -> u8>>(parse, x)", &[RunWithTypeArguments]);
    check_refused("ctx.run(charge(&order, 3)).await", &called("ctx.run(charge, &order, 3)"));
    check_refused("ctx.run(charge(order), 3).await", &called("ctx.run(charge, order, 3)"));
    check_refused(
        "ctx.run(gateway.charge(order))",
        &called("ctx.run(\"charge\", async || gateway.charge(order).await)"),
    );
    check_refused("ctx.run(charge.await)", &awaited("ctx.run(charge).await"));
    check_refused("ctx.run(charge(order).await?)", &awaited("ctx.run(charge, order).await?"));
    check_refused(
        "ctx.run(gateway.charge, order)",
        &[FieldAsCallee { field: "charge".into(), callee: "gateway.charge".into() }],
    );
    check_refused("ctx.run(function!(), 1)", &[CalleeWithoutName]);
    check_refused("ctx.run({ charge }, 1)", &[CalleeWithoutName]);
    check_refused("ctx.run(charges[0], 1)", &[CalleeWithoutName]);
    check_refused("ctx.run(charge, a b)", &[UnreadableArguments { problem: "expected `,`".into() }]);
    check_refused(
        "ctx.run(charge, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17)",
        &[TooManyArguments { count: "17".into() }],
    );
}

#[test]
fn inline_steps_that_are_none_are_refused() {
    use Refusal::*;
    let name = || "x".to_owned();
    check_refused("ctx.run(async || 1)", &[ClosureWithoutName]);
    check_refused("ctx.run(async { 1 })", &[ClosureWithoutName]);
    check_refused("ctx.run(3, async || 1)", &[NameIsNotLiteral]);
    check_refused("ctx.run(name, async || 1)", &[NameIsNotLiteral]);
    check_refused(r#"ctx.run(format!("{x}"), async || 1)"#, &[NameIsNotLiteral]);
    check_refused(r#"ctx.run("x")"#, &[InlineWithoutBody { name: name() }]);
    check_refused(r#"ctx.run("x", f, 1)"#, &[InlineWithArguments { name: name() }]);
    check_refused(r#"ctx.run("x", async { 1 })"#, &[InlineAsyncBlock { name: name() }]);
    check_refused(
        r#"ctx.run("x", f(y).await)"#,
        &[AwaitedInPlace { instead: r#"ctx.run("x", async || f(y).await)"#.into() }],
    );
    check_refused(r#"ctx.run("x", async |a, b| 1)"#, &[ClosureWithParameters { count: "2".into() }]);
    check_refused(r#"ctx.run("", async || 1)"#, &[EmptyName]);
    check_refused(r##"ctx.run("a#2", async || 1)"##, &[NameWithHash]);
    check_refused(r#"ctx.run(f).retry::<u8>(3).named("  ").await"#, &[EmptyName]);
    check_refused(r#"other.named("")"#, &[]);
    check_refused(r#"ctx.run("x", async || ctx.run(f).await)"#, &[RunInsideStep]);
    check_refused(r#"ctx.run("x", async || ctx.sleep(d).await)"#, &[OperationInsideStep { method: "sleep".into() }]);
    check_refused(r#"ctx.run("x", async || { join!(ctx.run(f), ctx.run(g)) })"#, &[RunInsideStep, RunInsideStep]);
    check_refused(r#"ctx.run("x", async || n += 1)"#, &[AssignedInsideStep { variable: "n".into() }]);
    check_refused("futures::select! { a = f() => a }", &[RandomSelect]);
    check_refused("::futures_util::select! { a = f() => a }", &[RandomSelect]);
}

#[test]
fn several_mistakes_in_one_call_are_reported_at_once() {
    use Refusal::*;
    check_refused(
        r##"ctx.run("#", async |a, b| n = 1)"##,
        &[NameWithHash, ClosureWithParameters { count: "2".into() }, AssignedInsideStep { variable: "n".into() }],
    );
}

#[test]
fn a_substituted_name_or_body_is_found_through_its_invisible_group() {
    use proc_macro2::{Delimiter, Group, TokenTree};
    let callee = TokenTree::Group(Group::new(Delimiter::None, quote!(Gateway::charge)));
    let name = TokenTree::Group(Group::new(Delimiter::None, quote!("inline")));
    let body = TokenTree::Group(Group::new(Delimiter::None, quote!({ ctx.run(#callee, 1); ctx.run(#name, f) })));
    let expanded = durable(&TokenStream::new(), &quote!(async fn f(ctx: &Context) { #body })).to_string();
    assert!(expanded.contains("__step (\"charge\""), "{expanded}");
    assert!(expanded.contains("__step (\"inline\""), "{expanded}");
    let whole = TokenTree::Group(Group::new(Delimiter::None, quote!({ ctx.run(charge) })));
    let expanded = durable(&TokenStream::new(), &quote!(async fn f(ctx: &Context) #whole)).to_string();
    assert!(expanded.contains("__step (\"charge\""), "{expanded}");
}

/// The UI tests, where the compiler says what it thinks of all this.
fn ui_tests(folder: &str) -> std::path::PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "..", "tests", "ui", folder].iter().collect()
}

#[test]
fn every_refusal_has_a_ui_test_that_shows_its_message() {
    let mut tests: Vec<String> = std::fs::read_dir(ui_tests("refused"))
        .unwrap()
        .filter_map(|file| file.unwrap().file_name().to_str()?.strip_suffix(".rs").map(str::to_owned))
        .collect();
    for (variant, message) in Refusal::TABLE {
        let name = snake_case(variant);
        let path = ui_tests("refused").join(format!("{name}.stderr"));
        let shown = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let is_shown = shown.lines().any(|line| fits(line.strip_prefix("error: ").unwrap_or_default(), message));
        assert!(is_shown, "{name}.stderr does not show `{message}`");
        // One refusal may have several: `clock_in_body`, `clock_in_body_of_helper`.
        tests.retain(|test| *test != name && !test.starts_with(&format!("{name}_")));
    }
    // What only the compiler can refuse, mistakes that come together, and those in `ctx.undo` have tests of their own.
    tests.retain(|test| !test.starts_with("compiler_") && test != "several_mistakes" && test != "undo");
    assert_eq!(tests, [""; 0], "these tests belong to no refusal");
}

#[test]
fn every_option_has_a_ui_test() {
    let program = std::fs::read_to_string(ui_tests("accepted").join("options.rs")).unwrap();
    for option in Options::NAMES {
        let is_used = program.lines().any(|line| line.contains("#[durable(") && line.contains(&format!("{option} = ")));
        assert!(is_used, "accepted/options.rs does not use `{option}`");
    }
}

/// `NotAsync` is `not_async`.
fn snake_case(variant: &str) -> String {
    let mut name = String::new();
    for character in variant.chars() {
        if character.is_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.extend(character.to_lowercase());
    }
    name
}

/// True when `text` is `message` with something in place of each `{…}`.
fn fits(text: &str, message: &str) -> bool {
    let mut parts = message.split('{').map(|part| part.split_once('}').map_or(part, |(_, after)| after));
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else { return false };
    parts.all(|part| rest.find(part).map(|at| rest = &rest[at + part.len()..]).is_some())
}

/// No item, however broken, makes the macro panic: every token of a large example is left out, doubled and replaced.
#[test]
fn no_mistake_makes_the_macro_panic() {
    let example = r##"
        #[doc = "d"] pub(crate) const async unsafe extern "C" fn f<'a, T>(ctx: &'a mut Context, #[cfg(x)] (a, b): (T, u8)) -> impl X {
            let x = ctx.run(charge(order), &a)?.named("x").await;
            ctx.run("a#", async move |s, t| { n += ctx.run::<u8>(g, 1).await });
            futures::select! { a = ctx.run(f.g, async || 1) => a }
            tokio::join!(ctx.run(h::<A, B>, [1, 2]), fn() -> u8);
            use std::{time::{self, Instant as I}, env::*};
            type T = I; let (m, n): HashMap<u8, u8> = HashMap::new();
            for x in &mut m { <I>::now() }
            if let Some(m) = m.iter().map(|m: u8| n).collect::<B<_>>() && y { println!("{m}") }
            match m.clone() { S { m } if ::std::env::var(x) => dbg!(m), _ => BTreeMap::from_iter(m.iter()) }
        }"##;
    let options = r#"name = "a#", version = 2, crate = x::y, name(3), other"#;
    let tries = mutations(example.parse().unwrap()).into_iter().map(|item| (options.parse().unwrap(), item));
    let other_tries =
        mutations(options.parse().unwrap()).into_iter().map(|options| (options, example.parse().unwrap()));
    let mut count = 0;
    for (options, item) in tries.chain(other_tries) {
        durable(&options, &item);
        count += 1;
    }
    assert!(count > 500, "only {count} tries");
}

/// All the ways to leave out, double or replace one token of `tokens`, at any depth.
fn mutations(tokens: TokenStream) -> Vec<TokenStream> {
    use proc_macro2::{Group, TokenTree};
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let mut all = Vec::new();
    for (index, token) in tokens.iter().enumerate() {
        let replaced = |with: TokenStream| {
            let (before, after) = (tokens[..index].iter().cloned(), tokens[index + 1..].iter().cloned());
            before.chain(with).chain(after).collect::<TokenStream>()
        };
        all.extend([
            replaced(quote!()),
            replaced(quote!(#token #token)),
            replaced(quote!(,)),
            replaced(quote!("text")),
        ]);
        if let TokenTree::Group(group) = token {
            let inner = mutations(group.stream()).into_iter();
            all.extend(inner.map(|inner| replaced(TokenTree::Group(Group::new(group.delimiter(), inner)).into())));
        }
    }
    all
}
