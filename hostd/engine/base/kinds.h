/* The enums of the protocol that the engine works with, by short names. What they mean is said in
 * the protos.
 */
#ifndef FM_ENGINE_KINDS_H
#define FM_ENGINE_KINDS_H

#include "fermata/v1/host_agent.pb.h"

enum step_outcome {
    OUTCOME_NONE = fermata_v1_StepOutcome_STEP_OUTCOME_UNSPECIFIED,
    OUTCOME_CONTINUE = fermata_v1_StepOutcome_STEP_OUTCOME_CONTINUE,
    OUTCOME_PAUSE = fermata_v1_StepOutcome_STEP_OUTCOME_PAUSE,
    OUTCOME_COMPLETE = fermata_v1_StepOutcome_STEP_OUTCOME_COMPLETE,
    OUTCOME_FAIL = fermata_v1_StepOutcome_STEP_OUTCOME_FAIL,
    OUTCOME_RETRY = fermata_v1_StepOutcome_STEP_OUTCOME_RETRY
};

enum interrupt_kind {
    INTERRUPT_NONE = fermata_v1_InterruptKind_INTERRUPT_KIND_UNSPECIFIED,
    INTERRUPT_PAUSE = fermata_v1_InterruptKind_INTERRUPT_KIND_PAUSE,
    INTERRUPT_CANCEL = fermata_v1_InterruptKind_INTERRUPT_KIND_CANCEL,
    INTERRUPT_DRAIN = fermata_v1_InterruptKind_INTERRUPT_KIND_DRAIN
};

enum release_reason {
    RELEASE_PAUSED = fermata_v1_ReleaseReason_RELEASE_REASON_PAUSED,
    RELEASE_DRAINING = fermata_v1_ReleaseReason_RELEASE_REASON_DRAINING,
    RELEASE_REFUSED = fermata_v1_ReleaseReason_RELEASE_REASON_REFUSED,
    RELEASE_IDLE = fermata_v1_ReleaseReason_RELEASE_REASON_IDLE,
    RELEASE_SLEEPING = fermata_v1_ReleaseReason_RELEASE_REASON_SLEEPING,
    RELEASE_BREAKPOINT = fermata_v1_ReleaseReason_RELEASE_REASON_BREAKPOINT,
    RELEASE_ABORTED = fermata_v1_ReleaseReason_RELEASE_REASON_ABORTED
};

enum error_policy {
    ON_ERROR_UNSAID = fermata_v1_ErrorPolicy_ERROR_POLICY_UNSPECIFIED,
    ON_ERROR_STOP = fermata_v1_ErrorPolicy_ERROR_POLICY_STOP,
    ON_ERROR_CONTINUE = fermata_v1_ErrorPolicy_ERROR_POLICY_CONTINUE,
    ON_ERROR_RETRY = fermata_v1_ErrorPolicy_ERROR_POLICY_RETRY,
    ON_ERROR_SKIP = fermata_v1_ErrorPolicy_ERROR_POLICY_SKIP,
    ON_ERROR_ROUTE = fermata_v1_ErrorPolicy_ERROR_POLICY_ROUTE
};

enum lost_policy {
    ON_LOST_UNSAID = fermata_v1_LostPolicy_LOST_POLICY_UNSPECIFIED,
    ON_LOST_RETRY = fermata_v1_LostPolicy_LOST_POLICY_RETRY,
    ON_LOST_ASK = fermata_v1_LostPolicy_LOST_POLICY_ASK,
    ON_LOST_FAIL = fermata_v1_LostPolicy_LOST_POLICY_FAIL
};

enum merge_mode {
    MERGE_UNSAID = fermata_v1_MergeMode_MERGE_MODE_UNSPECIFIED,
    MERGE_EACH = fermata_v1_MergeMode_MERGE_MODE_EACH,
    MERGE_ALL = fermata_v1_MergeMode_MERGE_MODE_ALL,
    MERGE_N_OF_M = fermata_v1_MergeMode_MERGE_MODE_N_OF_M,
    MERGE_APPEND = fermata_v1_MergeMode_MERGE_MODE_APPEND
};

enum change_kind {
    CHANGE_SET = fermata_v1_StateChangeKind_STATE_CHANGE_KIND_SET,
    CHANGE_APPEND = fermata_v1_StateChangeKind_STATE_CHANGE_KIND_APPEND,
    CHANGE_REMOVE = fermata_v1_StateChangeKind_STATE_CHANGE_KIND_REMOVE,
    CHANGE_DROP = fermata_v1_StateChangeKind_STATE_CHANGE_KIND_DROP
};

#endif
