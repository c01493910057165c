//! What is checked where something is awaited, and what the escape hatch leaves alone.

use expect_test::expect;

use super::{check, check_body, check_refused};
use crate::diagnostics::Refusal;

#[test]
fn every_await_is_checked_behind_its_operand() {
    check_body(
        "
        f().await;
        a.b::<Vec<T>>(1)?.c[0].await?;
        (a + b).await;
        { f().await }.await;
        match x { _ => g() }.await;
        x.awaited.await_all();
        |a| async move { a.await };
        async || b.await;
        async { };
        ",
        &expect![[r#"
            use d::__private::Awaited as _;
            f().__durable().await;
            a.b::<Vec<T>>(1)?.c[0].__durable().await?;
            (a + b).__durable().await;
            { f().__durable().await }.__durable().await;
            match x {
                _ => g(),
            }
                .__durable()
                .await;
            x.awaited.await_all();
            |a| d::__private::block(async move { a.__durable().await });
            async || b.__durable().await;
            d::__private::block(async {});
        "#]],
    );
}

#[test]
fn a_block_that_moves_the_context_is_given_a_copy() {
    check_body(
        "
        |n| async move { [n.ctx, f(ctx)] };
        async { f(ctx) };
        async move { n.ctx };
        ",
        &expect![[r#"
            |n| d::__private::block({
                let ctx = ::core::clone::Clone::clone(&ctx);
                async move { [n.ctx, f(ctx)] }
            });
            d::__private::block(async { f(ctx) });
            d::__private::block(async move { n.ctx });
        "#]],
    );
}

#[test]
fn inner_attributes_stay_first() {
    check(
        "",
        "async fn f(ctx: &Context) -> impl T { #![allow(unused)] #![doc = \"a\"] ctx.run(g).await }",
        &expect![[r#"
            fn f(ctx: &Context) -> impl ::durable_runtime::DurableFuture<Output = impl T> {
                #![allow(unused)]
                //!a
                ::durable_runtime::__private::block(async move {
                    use ::durable_runtime::__private::Awaited as _;
                    ctx.__step(
                            "g",
                            (),
                            move |__step, ()| ::durable_runtime::__private::call0(&g, __step),
                        )
                        .__durable()
                        .await
                })
            }
        "#]],
    );
    check(
        "",
        "async fn f(ctx: Context) { #![allow(unused)] g().await }",
        &expect![[r##"
            #[allow(non_camel_case_types, dead_code, clippy::exhaustive_structs)]
            #[derive(Clone, Copy, Debug)]
            struct f;
            #[allow(deprecated)]
            impl ::durable_runtime::DurableFunction for f {
                type Input = ();
                type Output = ();
                const NAME: &'static str = "f";
                const VERSION: u32 = 1;
                const FINGERPRINT: u64 = 15199342886387984182;
                const MODULE: &'static str = ::core::module_path!();
                const ON_CHANGE: ::durable_runtime::OnChange = ::durable_runtime::OnChange::Halt;
                const CALL_SITES: &'static [::durable_runtime::CallSite] = &[];
                fn call(
                    __context: ::durable_runtime::Context,
                    (): Self::Input,
                ) -> ::std::pin::Pin<
                    ::std::boxed::Box<
                        dyn ::core::future::Future<Output = Self::Output> + ::core::marker::Send,
                    >,
                > {
                    #[allow(clippy::unused_async)]
                    async fn __f(ctx: Context) {
                        #![allow(unused)]
                        use ::durable_runtime::__private::Awaited as _;
                        g().__durable().await
                    }
                    ::std::boxed::Box::pin(__f(__context))
                }
            }
            #[allow(deprecated)]
            const _: () = {
                ::durable_runtime::__private::inventory::submit! {
                    ::durable_runtime::__private::Registration::of:: < f > ()
                }
            };
        "##]],
    );
}

#[test]
fn calls_of_async_closures_are_durable_and_calls_of_others_are_not() {
    check_body(
        "
        let mut branch = async move |a| a.await;
        let other = |a| f(a);
        tokio::join!(branch(1), other(1), self.branch(1), x::branch(1));
        { let branch = f; branch(2).await; }
        branch(3).await;
        ",
        &expect![[r#"
            use d::__private::Awaited as _;
            let mut branch = async move |a| a.__durable().await;
            let other = |a| f(a);
            tokio::join!(
                biased; d::__private::checked(d::__private::block(branch(1))),
                d::__private::checked(other(1)), d::__private::checked(self.branch(1)),
                d::__private::checked(x::branch(1))
            );
            {
                let branch = f;
                branch(2).__durable().await;
            }
            d::__private::block(branch(3)).__durable().await;
        "#]],
    );
}

#[test]
fn a_variable_of_a_pattern_is_no_async_closure() {
    check_body(
        "
        let f = async || 1;
        |f: F| f();
        match a { f => f(), _ => { f() } }
        if let Some(f) = b { f() } else { f() }
        for f in list { f() }
        let f: F = g;
        f();
        ",
        &expect![[r#"
            let f = async || 1;
            |f: F| f();
            match a {
                f => f(),
                _ => d::__private::block(f()),
            }
            if let Some(f) = b { f() } else { d::__private::block(f()) }
            for f in list {
                f()
            }
            let f: F = g;
            f();
        "#]],
    );
}

#[test]
fn every_branch_is_checked() {
    check_body(
        "
        join!(a, b::<C, D>(e),);
        tokio::select! {
            Some(x) | Ok(x) = &mut a, if x == y => { f(x).await } (b, 1..=2) = g() => h(b), else => i().await,
        };
        futures::select_biased! { x = a => x, y = b.fuse() => y, complete => 0, default => 1 };
        select!(what is this);
        mine::join!(a.await, b);
        ",
        &expect![[r#"
            use d::__private::Awaited as _;
            join!(d::__private::checked(a), d::__private::checked(b::< C, D > (e)),);
            tokio::select! {
                biased; Some(x) | Ok(x) = d::__private::checked(& mut a), if x == y => { f(x)
                .__durable(). await } (b, 1..= 2) = d::__private::checked(g()) => h(b), else
                => i().__durable(). await,
            };
            futures::select_biased! {
                x = d::__private::checked(& mut a) => x, y = d::__private::checked(b.fuse())
                => y, complete => 0, default => 1
            };
            select!(biased; what is this);
            mine::join!(a.__durable(). await, b);
        "#]],
    );
}

#[test]
fn an_unchecked_statement_is_left_alone_and_the_next_one_is_not() {
    check_body(
        r#"
        #[durable(unchecked = "why")]
        let a = join!(f(), async { g().await }).await;
        h().await;
        #[durable_runtime::durable(unchecked = "why")]
        if a.await { ctx.run(b).await } else { c.await }
        h().await;
        join!(#[durable(unchecked = "why")] f(), g());
        #[durable(name = "x")] async fn nested(ctx: Context) { a.await }
        { #[durable(unchecked = "why")] f().await }
        "#,
        &expect![[r#"
            use d::__private::Awaited as _;
            let a = join!(f(), d::__private::block(async { g(). await })).await;
            h().__durable().await;
            if a.await {
                ctx.__step("b", (), move |__step, ()| d::__private::call0(&b, __step)).await
            } else {
                c.await
            }
            h().__durable().await;
            join!(f(), d::__private::checked(g()));
            #[durable(name = "x")]
            async fn nested(ctx: Context) {
                a.await
            }
            { f().await }
        "#]],
    );
}

#[test]
fn the_program_is_told_of_every_patch() {
    check_body(
        "if ctx.patched(\"tax\") { ctx.deprecate_patch(\"old\"); } other.patched(id); ctx.patched; a.ctx.patched(b);",
        &expect![[r#"
            if ctx
                .patched({
                    d::__private::inventory::submit! {
                        d::__private::Patch::new("tax")
                    }
                    "tax"
                })
            {
                ctx.deprecate_patch({
                    d::__private::inventory::submit! {
                        d::__private::Patch::new("old")
                    }
                    "old"
                });
            }
            other.patched(id);
            ctx.patched;
            a.ctx.patched(b);
        "#]],
    );
}

#[test]
fn an_unchecked_arm_or_element_ends_with_it() {
    check_body(
        r#"
        match x { #[durable(unchecked = "why")] A { a } | B(a) if a => f().await, C => g().await }
        match x { #[durable(unchecked = "why")] A => { f().await } C => g().await }
        [#[durable(unchecked = "why")] f::<A, B>().await, g().await];
        S { #[durable(unchecked = "why")] a: f().await, b: g().await };
        "#,
        &expect![[r#"
            use d::__private::Awaited as _;
            match x {
                A { a } | B(a) if a => f().await,
                C => g().__durable().await,
            }
            match x {
                A => f().await,
                C => g().__durable().await,
            }
            [f::<A, B>().await, g().__durable().await];
            S {
                a: f().await,
                b: g().__durable().await,
            };
        "#]],
    );
}

#[test]
fn the_id_of_a_patch_is_a_literal_outside_of_steps() {
    use Refusal::*;
    let method = || "patched".to_owned();
    check_refused("ctx.patched(ID)", &[PatchIsNotLiteral { method: method() }]);
    check_refused("ctx.patched()", &[PatchIsNotLiteral { method: method() }]);
    check_refused("ctx.patched(\"\")", &[EmptyName]);
    check_refused("ctx.run(\"a\", async || ctx.patched(\"b\")).await", &[PatchInsideStep { method: method() }]);
}

#[test]
fn the_escape_hatch_needs_a_reason_and_is_not_for_steps() {
    use Refusal::*;
    check_refused("#[durable(unchecked)] f().await;", &[UncheckedWithoutReason]);
    check_refused("#[durable(unchecked = 3)] f().await;", &[UncheckedWithoutReason]);
    check_refused("#[durable(unchecked = \"\")] f().await", &[UncheckedWithoutReason]);
    check_refused("#[durable(unchecked(\"why\"))] if a { f().await }", &[UncheckedWithoutReason]);
    check_refused("#[durable(unchecked = \"why\", name = \"x\")] f().await;", &[UncheckedWithoutReason]);
    check_refused(
        "ctx.run(\"a\", async || { #[durable(unchecked = \"why\")] f().await; 1 }).await",
        &[UncheckedInsideStep],
    );
}

#[test]
fn what_is_done_at_once_is_not_awaited() {
    use Refusal::*;
    let nothing = |call: &str| [NothingToAwait { call: call.into() }];
    check_refused("ctx.publish(\"a\", &1).await;", &nothing("ctx.publish"));
    check_refused("let now = ctx.now().await; f(now)", &nothing("ctx.now"));
    check_refused("join!(ctx.undo(refund, &a).retry(p).named(\"x\").await)", &nothing("ctx.undo"));
    check_refused("ctx.emit(\"a\", &ctx.run()).await", &[NothingToAwait { call: "ctx.emit".into() }, RunWithoutCallee]);
    check_refused("ctx.map(a, |b| ctx.run(c, b)).await", &[MapWithoutEnd { call: "ctx.map".into() }]);
    check_refused("ctx.map(a, b).max_concurrency(8).await?", &[MapWithoutEnd { call: "ctx.map".into() }]);
    check_refused("ctx.map(a, b).max_concurrency(8).all().await", &[]);
    check_refused("ctx.now().waits().await; other.publish(1).await; a.ctx.publish(1).await", &[]);
    check_refused("ctx.publish(\"a\", &ctx.run(b, 1).await)", &[]);
}

#[test]
fn an_async_closure_is_not_for_retry_and_map() {
    use Refusal::*;
    let retry = || AsyncClosure { call: "ctx.retry".into(), instead: "|| async { … }".into() };
    let map =
        |inputs: &str| [AsyncClosure { call: "ctx.map".into(), instead: format!("|{inputs}| async move {{ … }}") }];
    check_refused("ctx.retry(policy, async || ctx.run(a).await).await?", &[retry()]);
    check_refused("ctx.retry(policy, async move || ctx.run().await).await", &[retry(), RunWithoutCallee]);
    check_refused("ctx.map(a, async |(b, c): (u8, u8)| d).all().await", &map("(b, c):(u8, u8)"));
    check_refused("ctx.retry(policy, || async { a.await }); ctx.map(a, |b| async move { b.await })", &[]);
    check_refused("other.map(a, async |b| b); ctx.run(\"a\", async || b)", &[]);
}
