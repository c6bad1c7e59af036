#include "http/phases.h"

static const char *const names[PHASES] = {
    [PHASE_FIRST_LINE] = "first line", [PHASE_HEADERS] = "headers", [PHASE_BODY] = "body",
    [PHASE_FINISHED] = "finished",     [PHASE_FAILED] = "failed",
};

static const bool may_follow[PHASES][PHASES] = {
    [PHASE_FIRST_LINE] = { [PHASE_HEADERS] = true, [PHASE_FAILED] = true },
    [PHASE_HEADERS] = { [PHASE_FIRST_LINE] = true /* after 1xx */,
                        [PHASE_BODY] = true,
                        [PHASE_FINISHED] = true,
                        [PHASE_FAILED] = true },
    [PHASE_BODY] = { [PHASE_FINISHED] = true, [PHASE_FAILED] = true },
    [PHASE_FINISHED] = { [PHASE_FIRST_LINE] = true, [PHASE_FAILED] = true },
};

const char *phase_name(enum phase phase)
{
    return (unsigned)phase < PHASES ? names[phase] : "unknown";
}

bool phase_may_follow(enum phase from, enum phase to)
{
    return (unsigned)from < PHASES && (unsigned)to < PHASES && may_follow[from][to];
}
