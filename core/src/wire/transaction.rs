//! Transactions. Protocol reference, section 7.

use std::borrow::Cow;

use super::header::header;

header! {
    /// END_TRANSACTION (37), oneway: a producer's decision about a half message.
    #[doc(alias = "EndTransactionRequestHeader")]
    EndTransaction<'a> {
        /// The message's topic (5.x).
        topic: Option<Cow<'a, str>> = "topic",
        /// Group of the producer.
        producer_group: Cow<'a, str> = "producerGroup",
        /// Queue offset of the half message.
        tran_state_table_offset: i64 = "tranStateTableOffset",
        /// Place of the half message in the commit log.
        commit_log_offset: i64 = "commitLogOffset",
        /// 0 unknown, 8 commit, 12 rollback: the transaction bits of [`crate::message::sys_flag`].
        commit_or_rollback: i32 = "commitOrRollback",
        /// Whether this answers CHECK_TRANSACTION_STATE.
        from_transaction_check: bool = "fromTransactionCheck" or false,
        /// The message's unique id. Apache calls it required, and takes requests without it.
        msg_id: Option<Cow<'a, str>> = "msgId",
        /// The transaction's id.
        transaction_id: Option<Cow<'a, str>> = "transactionId",
    }
    // Why the producer could not decide, if it failed.
    remark: Option<Cow<'a, str>>;
}

header! {
    /// CHECK_TRANSACTION_STATE (39), broker to producer, oneway: what became of this half message? The body is its
    /// record.
    #[doc(alias = "CheckTransactionStateRequestHeader")]
    CheckTransactionState<'a> {
        /// The message's topic (5.x).
        topic: Option<Cow<'a, str>> = "topic",
        /// Queue offset of the half message.
        tran_state_table_offset: i64 = "tranStateTableOffset",
        /// Place of the half message in the commit log.
        commit_log_offset: i64 = "commitLogOffset",
        /// The message's unique id.
        msg_id: Option<Cow<'a, str>> = "msgId",
        /// The transaction's id.
        transaction_id: Option<Cow<'a, str>> = "transactionId",
        /// The message's offset id.
        offset_msg_id: Option<Cow<'a, str>> = "offsetMsgId",
    }
    body: &'a [u8];
}

header! {
    /// RESUME_CHECK_HALF_MESSAGE (323): a half message that was given up is to be asked for again.
    #[doc(alias = "ResumeCheckHalfMessageRequestHeader")]
    ResumeCheckHalfMessage<'a> {
        /// The message's topic (5.x).
        topic: Option<Cow<'a, str>> = "topic",
        /// The message's offset id.
        msg_id: Option<Cow<'a, str>> = "msgId",
    }
}
