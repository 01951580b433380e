/* Why models stop, in the providers' words. Pure functions. */
#ifndef FM_LLM_STOP_H
#define FM_LLM_STOP_H

enum llm_stop {
    LLM_STOP_DONE,    /* it has said what it had to say */
    LLM_STOP_CALLS,   /* it calls tools */
    LLM_STOP_SHORT,   /* the reply was cut off, or withheld, or the model refused */
    LLM_STOP_FAILED,  /* the server has failed in the middle of it */
    LLM_STOP_UNKNOWN, /* a reason that is none of these */
    LLM_STOP_NONE     /* no reason: NULL or "" */
};

/* What a reason means; large and small letters are alike. */
enum llm_stop llm_stop_of(const char *reason);
/* A warning for the job's log; NULL: there is no need for one. */
const char *llm_stop_warning(const char *reason);

#endif
