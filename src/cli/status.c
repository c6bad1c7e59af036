/*
 * status.c - `dejunk status`: how the running service is.
 */
#include <sysexits.h>

#include "cli/commands.h"
#include "cli/talk.h"

static int run(struct options *options)
{
    struct talk talk = { .socket = NULL };
    bool wants_json = false;
    int letter;

    while ((letter = options_next(options)) > 0) {
        if (letter == 'j')
            wants_json = true;
        else
            talk_take(&talk, letter, options->value);
    }
    if (letter == OPTIONS_END_NOW || !options_count(options, 0, 0))
        return options->exit_code;
    return talk_show(&talk, wants_json ? "status json" : "status", EX_SOFTWARE);
}

static const struct option_row rows[] = {
    TALK_ROWS,
    { 'j', "json", NULL, "one JSON object instead of text" },
    { 0 },
};
const struct command command_status = {
    .name = "status",
    .help = "show how the running service is",
    .about = "Workers, configuration, lists with their rules, and what was done with requests.\n"
             "The exit code is 69 when no service is running.",
    .options = rows,
    .run = run,
};
