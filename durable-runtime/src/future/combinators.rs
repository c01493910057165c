//! Which types of `std`, `futures`, `tokio` and `tracing` are durable over durable futures.
//!
//! All of these poll what they hold in a fixed order and resolve because of it alone.

use std::ops::DerefMut;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;

use futures::future::{self, TryFuture};
use futures::stream::{self, TryStream};
use futures::{Future, Stream};
use serde::de::DeserializeOwned;

use super::{DurableFuture, DurableStream};
use crate::context::MayFail;
use crate::function::DurableFunction;
use crate::{
    Child, ContinueAsNew, MapAll, MapAtLeast, MapFirstOk, MapTolerate, Promise, RetryOn, Retrying, Signal, Step,
    Timeout, Timer,
};

#[diagnostic::do_not_recommend]
impl<O> DurableFuture for Step<'_, O> {}
#[diagnostic::do_not_recommend]
impl<F: DurableFunction> DurableFuture for Child<F> {}
#[diagnostic::do_not_recommend]
impl DurableFuture for Timer {}
#[diagnostic::do_not_recommend]
impl DurableFuture for ContinueAsNew {}

#[diagnostic::do_not_recommend]
impl<T: DeserializeOwned> DurableFuture for Signal<T> {}
#[diagnostic::do_not_recommend]
impl<T: DeserializeOwned> DurableFuture for Promise<T> {}

// What the context makes of durable futures only: it refuses others where they are given to it, and here not again.
#[diagnostic::do_not_recommend]
impl<F: Future> DurableFuture for Timeout<F> {}
#[diagnostic::do_not_recommend]
impl<B, F, P, T, E> DurableFuture for Retrying<B, F, P>
where
    B: FnMut() -> F,
    F: Future<Output = Result<T, E>>,
    P: RetryOn<E>,
    E: 'static,
{
}
#[diagnostic::do_not_recommend]
impl<F: Future> DurableFuture for MapAll<'_, F> {}
#[diagnostic::do_not_recommend]
impl<F: MayFail> DurableFuture for MapFirstOk<'_, F> {}
#[diagnostic::do_not_recommend]
impl<F: MayFail> DurableFuture for MapAtLeast<'_, F> {}
#[diagnostic::do_not_recommend]
impl<F: MayFail> DurableFuture for MapTolerate<'_, F> {}

#[diagnostic::do_not_recommend]
impl<F: DurableFuture + Unpin + ?Sized> DurableFuture for &mut F {}
#[diagnostic::do_not_recommend]
impl<F: DurableFuture + Unpin + ?Sized> DurableFuture for Box<F> {}
#[diagnostic::do_not_recommend]
impl<P: DerefMut<Target: DurableFuture>> DurableFuture for Pin<P> {}
#[diagnostic::do_not_recommend]
impl<S: DurableStream + Unpin + ?Sized> DurableStream for &mut S {}
#[diagnostic::do_not_recommend]
impl<S: DurableStream + Unpin + ?Sized> DurableStream for Box<S> {}
#[diagnostic::do_not_recommend]
impl<P: DerefMut<Target: DurableStream> + Unpin> DurableStream for Pin<P> {}

/// Implements a marker for types, each with the bounds under which it is durable.
///
/// `where Self: Future` leaves the type's own bounds to its own crate.
macro_rules! durable {
    ($marker:ident: $super:ident; $(<$($generic:tt),*> $type:ty, $($parameter:ty: $bound:path),*;)+) => {
        $(
            #[diagnostic::do_not_recommend]
            impl<$($generic),*> $marker for $type where Self: $super, $($parameter: $bound),* {}
        )+
    };
}

durable! { DurableFuture: Future;
    <T> std::future::Ready<T>,;
    <T> std::future::Pending<T>,;
    <T> future::Ready<T>,;
    <T> future::Pending<T>,;
    <F> future::Lazy<F>,;

    <F> AssertUnwindSafe<F>, F: DurableFuture;
    <F> future::CatchUnwind<F>, F: DurableFuture;
    <F> future::Fuse<F>, F: DurableFuture;
    <F> future::NeverError<F>, F: DurableFuture;
    <F> future::UnitError<F>, F: DurableFuture;
    <F> future::OptionFuture<F>, F: DurableFuture;
    <F> future::MaybeDone<F>, F: DurableFuture;
    <F> future::TryMaybeDone<F>, F: DurableFuture, F: TryFuture;
    <F> future::IntoFuture<F>, F: DurableFuture;
    <F> future::Shared<F>, F: DurableFuture;
    <A, B> future::Either<A, B>, A: DurableFuture, B: DurableFuture;

    <F, M> future::Map<F, M>, F: DurableFuture;
    <F, T> future::MapInto<F, T>, F: DurableFuture;
    <F, M> future::MapOk<F, M>, F: DurableFuture;
    <F, M> future::MapErr<F, M>, F: DurableFuture;
    <F, E> future::ErrInto<F, E>, F: DurableFuture;
    <F, T> future::OkInto<F, T>, F: DurableFuture;
    <F, O, E> future::MapOkOrElse<F, O, E>, F: DurableFuture;
    <F, M> future::UnwrapOrElse<F, M>, F: DurableFuture;
    <F, M> future::Inspect<F, M>, F: DurableFuture;
    <F, M> future::InspectOk<F, M>, F: DurableFuture;
    <F, M> future::InspectErr<F, M>, F: DurableFuture;
    <F, N, M> future::Then<F, N, M>, F: DurableFuture, N: DurableFuture;
    <F, N, M> future::AndThen<F, N, M>, F: DurableFuture, N: DurableFuture;
    <F, N, M> future::OrElse<F, N, M>, F: DurableFuture, N: DurableFuture;
    <F> future::Flatten<F>, F: DurableFuture, F::Output: DurableFuture;
    <F> future::TryFlatten<F, F::Ok>, F: DurableFuture, F: TryFuture, F::Ok: DurableFuture;

    <A, B> future::Join<A, B>, A: DurableFuture, B: DurableFuture;
    <A, B, C> future::Join3<A, B, C>, A: DurableFuture, B: DurableFuture, C: DurableFuture;
    <A, B, C, D> future::Join4<A, B, C, D>, A: DurableFuture, B: DurableFuture, C: DurableFuture, D: DurableFuture;
    <A, B, C, D, E> future::Join5<A, B, C, D, E>,
        A: DurableFuture, B: DurableFuture, C: DurableFuture, D: DurableFuture, E: DurableFuture;
    <A, B> future::TryJoin<A, B>, A: DurableFuture, B: DurableFuture, A: TryFuture, B: TryFuture;
    <A, B, C> future::TryJoin3<A, B, C>,
        A: DurableFuture, B: DurableFuture, C: DurableFuture, A: TryFuture, B: TryFuture, C: TryFuture;
    <A, B, C, D> future::TryJoin4<A, B, C, D>,
        A: DurableFuture, B: DurableFuture, C: DurableFuture, D: DurableFuture,
        A: TryFuture, B: TryFuture, C: TryFuture, D: TryFuture;
    <A, B, C, D, E> future::TryJoin5<A, B, C, D, E>,
        A: DurableFuture, B: DurableFuture, C: DurableFuture, D: DurableFuture, E: DurableFuture,
        A: TryFuture, B: TryFuture, C: TryFuture, D: TryFuture, E: TryFuture;
    <F> future::JoinAll<F>, F: DurableFuture;
    <F> future::TryJoinAll<F>, F: DurableFuture, F: TryFuture;
    <A, B> future::Select<A, B>, A: DurableFuture, B: DurableFuture;
    <A, B> future::TrySelect<A, B>, A: DurableFuture, B: DurableFuture;
    <F> future::SelectAll<F>, F: DurableFuture;
    <F> future::SelectOk<F>, F: DurableFuture, F: TryFuture;

    <'a, S> stream::Next<'a, S>, S: DurableStream;
    <'a, S> stream::TryNext<'a, S>, S: DurableStream;
    <'a, S> stream::SelectNextSome<'a, S>, S: DurableStream;
    <S> stream::StreamFuture<S>, S: DurableStream;
    <S, C> stream::Collect<S, C>, S: DurableStream;
    <S, C> stream::TryCollect<S, C>, S: DurableStream;
    <S, A, B> stream::Unzip<S, A, B>, S: DurableStream;
    <'a, S> stream::Peek<'a, S>, S: DurableStream;
    <'a, S> stream::PeekMut<'a, S>, S: DurableStream;
    <'a, S, M> stream::NextIf<'a, S, M>, S: DurableStream;
    <'a, S, T> stream::NextIfEq<'a, S, T>, S: DurableStream;
    <S> stream::Concat<S>, S: DurableStream;
    <S> stream::TryConcat<S>, S: DurableStream, S: TryStream;
    <S> stream::Count<S>, S: DurableStream;
    <S, N, T, M> stream::Fold<S, N, T, M>, S: DurableStream, N: DurableFuture;
    <S, N, T, M> stream::TryFold<S, N, T, M>, S: DurableStream, N: DurableFuture;
    <S, N, M> stream::ForEach<S, N, M>, S: DurableStream, N: DurableFuture;
    <S, N, M> stream::TryForEach<S, N, M>, S: DurableStream, N: DurableFuture;
    <S, N, M> stream::ForEachConcurrent<S, N, M>, S: DurableStream, N: DurableFuture;
    <S, N, M> stream::TryForEachConcurrent<S, N, M>, S: DurableStream, N: DurableFuture;
    <S, N, M> stream::All<S, N, M>, S: DurableStream, N: DurableFuture;
    <S, N, M> stream::Any<S, N, M>, S: DurableStream, N: DurableFuture;
    <S, N, M> stream::TryAll<S, N, M>, S: DurableStream, N: DurableFuture;
    <S, N, M> stream::TryAny<S, N, M>, S: DurableStream, N: DurableFuture;

    <F> tracing::instrument::Instrumented<F>, F: DurableFuture;
    <F> tracing::instrument::WithDispatch<F>, F: DurableFuture;
    <T, F> tokio::task::futures::TaskLocalFuture<T, F>, F: DurableFuture;
}

durable! { DurableStream: Stream;
    <I> stream::Iter<I>,;
    <T> stream::Empty<T>,;
    <T> stream::Pending<T>,;
    <T> stream::Repeat<T>,;
    <F> stream::RepeatWith<F>,;
    <F> stream::Once<F>, F: DurableFuture;
    <T, M, N> stream::Unfold<T, M, N>, N: DurableFuture;
    <T, M, N> stream::TryUnfold<T, M, N>, N: DurableFuture;
    <F> stream::FuturesUnordered<F>, F: DurableFuture;
    <F> stream::FuturesOrdered<F>, F: DurableFuture;
    <S> stream::BufferUnordered<S>, S: DurableStream, S::Item: DurableFuture;
    <S> stream::Buffered<S>, S: DurableStream, S::Item: DurableFuture;
    <S> stream::TryBufferUnordered<S>, S: DurableStream, S: TryStream, S::Ok: DurableFuture;
    <S> stream::TryBuffered<S>, S: DurableStream, S: TryStream, S::Ok: DurableFuture, S::Ok: TryFuture;

    <F> future::FlattenStream<F>, F: DurableFuture, F::Output: DurableStream;
    <F> future::IntoStream<F>, F: DurableFuture;
    <A, B> future::Either<A, B>, A: DurableStream, B: DurableStream;

    <S> stream::Fuse<S>, S: DurableStream;
    <S> stream::Peekable<S>, S: DurableStream;
    <S> stream::Enumerate<S>, S: DurableStream;
    <S> stream::Cycle<S>, S: DurableStream;
    <S> stream::Take<S>, S: DurableStream;
    <S> stream::Skip<S>, S: DurableStream;
    <S> stream::Chunks<S>, S: DurableStream;
    <S> stream::ReadyChunks<S>, S: DurableStream;
    <S> stream::Flatten<S>, S: DurableStream, S::Item: DurableStream;
    <S> stream::SelectAll<S>, S: DurableStream;
    <S, M> stream::Map<S, M>, S: DurableStream;
    <S, M> stream::MapOk<S, M>, S: DurableStream;
    <S, M> stream::MapErr<S, M>, S: DurableStream;
    <S, M> stream::Inspect<S, M>, S: DurableStream;
    <S, M> stream::InspectOk<S, M>, S: DurableStream;
    <S, M> stream::InspectErr<S, M>, S: DurableStream;
    <S, U, M> stream::FlatMap<S, U, M>, S: DurableStream, U: DurableStream;
    <S, N, M> stream::Then<S, N, M>, S: DurableStream, N: DurableFuture;
    <S, N, M> stream::AndThen<S, N, M>, S: DurableStream, N: DurableFuture;
    <S, N, M> stream::OrElse<S, N, M>, S: DurableStream, N: DurableFuture;
    <S, N, M> stream::Filter<S, N, M>, S: DurableStream, N: DurableFuture;
    <S, N, M> stream::FilterMap<S, N, M>, S: DurableStream, N: DurableFuture;
    <S, N, M> stream::TakeWhile<S, N, M>, S: DurableStream, N: DurableFuture;
    <S, N, M> stream::SkipWhile<S, N, M>, S: DurableStream, N: DurableFuture;
    <S, N> stream::TakeUntil<S, N>, S: DurableStream, N: DurableFuture, N: Future;
    <S, T, N, M> stream::Scan<S, T, N, M>, S: DurableStream, N: DurableFuture;
    <A, B> stream::Chain<A, B>, A: DurableStream, B: DurableStream;
    <A, B> stream::Zip<A, B>, A: DurableStream, B: DurableStream;
    <A, B> stream::Select<A, B>, A: DurableStream, B: DurableStream;
    <A, B, M, T> stream::SelectWithStrategy<A, B, M, T>, A: DurableStream, B: DurableStream;

    <S> stream::CatchUnwind<S>, S: DurableStream;
    <S> stream::IntoStream<S>, S: DurableStream;
    <S, E> stream::ErrInto<S, E>, S: DurableStream;
    <S> stream::TryFlatten<S>, S: DurableStream, S: TryStream, S::Ok: DurableStream;
    <S> stream::TryChunks<S>, S: DurableStream, S: TryStream;
    <S> stream::TryReadyChunks<S>, S: DurableStream, S: TryStream;
    <S, N, M> stream::TryFilter<S, N, M>, S: DurableStream, S: TryStream, N: DurableFuture;
    <S, N, M> stream::TryFilterMap<S, N, M>, S: DurableStream, N: DurableFuture;
    <S, N, M> stream::TrySkipWhile<S, N, M>, S: DurableStream, S: TryStream, N: DurableFuture;
    <S, N, M> stream::TryTakeWhile<S, N, M>, S: DurableStream, S: TryStream, N: DurableFuture;
}
