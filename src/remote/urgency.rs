//! Who waits for a request, told beside it: dozens of methods lead to one queue, and none of them would do
//! anything with it but hand it on.
//!
//! It belongs to the task. What is not said is a reader's; a task that is spawned says it again, or
//! carries it along.

use std::future::Future;

use crate::model::fair::Urgency;

tokio::task_local! {
    static URGENCY: Urgency;
}

/// Of the requests that this task makes at this moment.
pub(super) fn current() -> Urgency {
    URGENCY.try_with(|urgency| *urgency).unwrap_or_default()
}

/// All requests of `work` are this urgent.
pub fn with_urgency<F: Future>(urgency: Urgency, work: F) -> impl Future<Output = F::Output> {
    URGENCY.scope(urgency, work)
}

/// All requests of `work` are no more urgent than this.
pub fn no_more_urgent_than<F: Future>(urgency: Urgency, work: F) -> impl Future<Output = F::Output> {
    URGENCY.scope(urgency.max(current()), work)
}

/// `work` is as urgent in another task as it is here.
pub(super) fn carry_urgency<F: Future>(work: F) -> impl Future<Output = F::Output> {
    URGENCY.scope(current(), work)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_that_is_spawned_takes_its_urgency_along_only_where_it_is_told_to() {
        assert_eq!(current(), Urgency::Reader);
        with_urgency(Urgency::Background, async {
            assert_eq!(current(), Urgency::Background);
            let carried = tokio::spawn(carry_urgency(async { current() })).await.unwrap();
            let alone = tokio::spawn(async { current() }).await.unwrap();
            assert_eq!((carried, alone), (Urgency::Background, Urgency::Reader));
            no_more_urgent_than(Urgency::Close, async {
                assert_eq!(current(), Urgency::Background);
            })
            .await;
        })
        .await;
        no_more_urgent_than(Urgency::Close, async { assert_eq!(current(), Urgency::Close) }).await;
    }
}
