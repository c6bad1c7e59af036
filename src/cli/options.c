#include "cli/options.h"

#include <assert.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "base/nearest.h"
#include "cli/say.h"

enum { ROWS = 40 }; // options of one command, at most
static const struct option_row help_row = { 'h', "help", NULL, "show this help" };

static size_t count_rows(const struct command *command)
{
    size_t count = 0;

    while (command->options && command->options[count].letter)
        count++;
    assert(count < ROWS);
    return count;
}

static const struct option_row *row_at(const struct command *command, size_t index)
{
    return index < count_rows(command) ? &command->options[index] : &help_row;
}

/* The others have a long name only. */
static bool has_letter(const struct option_row *row)
{
    return row->letter > ' ';
}

static bool is_optional_row(const struct option_row *row)
{
    return row->argument && row->argument[0] == '[';
}

static void show_row(const struct option_row *row)
{
    char left[40], letter[8] = "    ";
    bool is_optional = is_optional_row(row);

    if (has_letter(row))
        snprintf(letter, sizeof letter, "-%c, ", row->letter);
    snprintf(left, sizeof left, "%s--%s%s%s", letter, row->name,
             row->argument ? is_optional ? "[=" : "=" : "",
             row->argument ? row->argument + is_optional : "");
    printf("  %-24s %s\n", left, row->help);
}

void options_show_help(const struct command *command)
{
    const char *bold = say_bold(stdout), *plain = say_plain(stdout);

    printf("%sUsage:%s dejunk %s [OPTION]...%s%s\n\n", bold, plain, command->name,
           command->arguments ? " " : "", command->arguments ? command->arguments : "");
    printf("%c%s.\n",
           command->help[0] >= 'a' && command->help[0] <= 'z' ? command->help[0] - 32
                                                              : command->help[0],
           command->help + 1);
    if (command->about)
        printf("\n%s\n", command->about);
    printf("\n%sOptions:%s\n", bold, plain);
    for (size_t i = 0; i <= count_rows(command); i++)
        show_row(row_at(command, i));
}

static int mistake(struct options *options)
{
    fprintf(stderr, "Try: dejunk help %s\n", options->command->name);
    options->exit_code = EX_USAGE;
    return OPTIONS_END_NOW;
}

/* getopt_long() has met something it does not know, or without its argument. */
static int complain(struct options *options, int result, const char *word)
{
    struct nearest nearest;
    struct span name;

    if (result == ':') {
        say_error("%s: the option %s needs an argument", options->command->name, word);
        return mistake(options);
    }
    if (strncmp(word, "--", 2) != 0) {
        say_error("%s: unknown option -%c", options->command->name, optopt);
        return mistake(options);
    }
    name = span_text(word + 2);
    name.size = span_find_byte(name, '=');
    nearest_init(&nearest, name);
    for (size_t i = 0; i <= count_rows(options->command); i++)
        nearest_offer(&nearest, row_at(options->command, i)->name);
    if (nearest.name && nearest.distance == 0)
        say_error("%s: the option --%s takes no argument", options->command->name, nearest.name);
    else if (nearest.name)
        say_error("%s: unknown option --%.*s; did you mean --%s?", options->command->name,
                  SPAN_PRINT(name), nearest.name);
    else
        say_error("%s: unknown option --%.*s", options->command->name, SPAN_PRINT(name));
    return mistake(options);
}

int options_next(struct options *options)
{
    char letters[4 + 2 * ROWS] = ":";
    struct option names[ROWS + 1] = { 0 };
    size_t rows = count_rows(options->command) + 1, size = 1;
    int word, result;

    for (size_t i = 0; i < rows; i++) {
        const struct option_row *row = row_at(options->command, i);

        if (has_letter(row)) {
            letters[size++] = row->letter;
            if (row->argument && !is_optional_row(row))
                letters[size++] = ':';
        }
        names[i] = (struct option){ row->name,
                                    is_optional_row(row) ? optional_argument
                                    : row->argument      ? required_argument
                                                         : no_argument,
                                    NULL, row->letter };
    }
    letters[size] = '\0';
    if (!options->has_begun) {
        optind = 0; // GNU: from the start, also when another line was read before
        opterr = 0;
        options->has_begun = true;
    }
    word = optind ? optind : 1;
    result = getopt_long(options->argc, options->argv, letters, names, NULL);
    if (result == -1) {
        options->argv += optind;
        options->argc -= optind;
        return OPTIONS_DONE;
    }
    if (result == '?' || result == ':') // long options are one word; getopt has stepped over it
        return complain(options, result, options->argv[optind > word ? optind - 1 : word]);
    if (result == 'h') {
        options_show_help(options->command);
        options->exit_code = say_finish();
        return OPTIONS_END_NOW;
    }
    options->value = optarg;
    return result;
}

const char *options_peek(const struct options *options)
{
    return optind < options->argc ? options->argv[optind] : NULL;
}

void options_skip(struct options *options)
{
    if (optind < options->argc)
        optind++;
}

bool options_count(struct options *options, int least, int most)
{
    if (options->argc < least) {
        say_error("%s: something is missing: %s", options->command->name,
                  options->command->arguments);
        mistake(options);
        return false;
    }
    if (options->argc > most) {
        say_error("%s: \"%s\" is one argument too many", options->command->name,
                  options->argv[most]);
        mistake(options);
        return false;
    }
    return true;
}
