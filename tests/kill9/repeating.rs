//! A store that loses the newest record of each unfinished run when it is opened: the mistake after which recorded steps
//! are executed again, which the trial must notice.

use durable_runtime::store::{Append, Record, SledStore, Store, StoreError};
use durable_runtime::{Position, RunStatus};

use crate::order::Order;

/// Takes the newest record away from each unfinished run, so that nothing but the outside world can tell.
pub(crate) fn lose_newest_records(store: &SledStore) -> Result<(), StoreError> {
    for head in store.list(Some(RunStatus::Running), None, usize::MAX)? {
        // Without its newest record, a run that was resumed would be halted, which the runtime itself finds wrong.
        let breaks = Order::of_run_id(head.run.as_str()).is_some_and(Order::breaks);
        let Some(stored) = store.read(&head.run)?.filter(|stored| stored.frames.len() > 1 && !breaks) else { continue };
        let kept = stored.frames.len() - 1;
        let records = stored.frames.into_iter().take(kept).map(|frame| Record { frame, due: None }).collect();
        let (run, fence) = (head.run.clone(), head.fence);
        store.delete(&head.run)?;
        let expected = Position(0);
        let anew =
            Append { run, expected, fence, records, replaces: false, clears: Vec::new(), status: RunStatus::Running };
        assert_eq!(store.commit(&[anew])?, [Ok(())], "the run was deleted and is created anew");
    }
    Ok(())
}
