#include "cli/rule_source.h"

#include <fcntl.h>
#include <sysexits.h>
#include <unistd.h>

#include "cli/say.h"
#include "daemon/rules.h"

bool rule_source_take(struct rule_source *source, int letter, const char *value)
{
    switch (letter) {
    case 'l':
    case 't':
        if (source->list_count < RULE_SOURCE_LISTS) {
            source->are_trusted[source->list_count] = letter == 't';
            source->lists[source->list_count] = value;
        }
        source->list_count++; // one too many is an error of rule_source_open()
        return true;
    case 'd':
        source->database = value;
        return true;
    default:
        return settings_take(&source->settings, letter, value);
    }
}

static enum error_kind open_database(struct rule_source *source, struct error *error)
{
    int fd = open(source->database, O_RDONLY | O_CLOEXEC);
    enum error_kind kind;

    if (fd < 0)
        return error_errno(error, ERROR_SYSTEM, "cannot read %s", source->database);
    kind = database_map(&source->rules, fd, error);
    close(fd);
    return kind;
}

/* What a service with this configuration would be given. */
static enum error_kind read_configured(struct rule_source *source, struct error *error)
{
    enum error_kind kind = settings_load(&source->settings, &source->config, NULL, error);

    if (kind != ERROR_NONE)
        return kind;
    if (!source->config->filter)
        say_warning("the configuration has filter = no: no request is asked of any rule");
    if (rules_read(source->rulebook, source->config, &source->unfiltered) == 0)
        say_warning("no filter list could be read");
    return ERROR_NONE;
}

static enum error_kind read_lists(struct rule_source *source, struct error *error)
{
    struct list_summary summary;
    enum error_kind kind = ERROR_NONE;

    if (rulebook_add_suffixes(source->rulebook, NULL, error) != ERROR_NONE)
        say_warning("%s", error->text);
    for (size_t i = 0; i < source->list_count && kind == ERROR_NONE; i++)
        kind = rulebook_add(source->rulebook, source->lists[i], NULL, source->are_trusted[i],
                            &summary, error);
    return kind;
}

static enum error_kind compile(struct rule_source *source, struct error *error)
{
    struct compile_counts counts;
    struct span image;
    enum error_kind kind;

    source->rulebook = rulebook_new(NULL, NULL);
    kind = source->list_count ? read_lists(source, error) : read_configured(source, error);
    if (kind == ERROR_NONE)
        kind = rulebook_compile(source->rulebook, &image, &counts, error);
    if (kind == ERROR_NONE)
        kind = database_open(&source->rules, image, error);
    return kind;
}

int rule_source_open(struct rule_source *source)
{
    struct error error;
    enum error_kind kind;

    if (source->list_count > RULE_SOURCE_LISTS) {
        say_error("more than %d lists", RULE_SOURCE_LISTS);
        return EX_USAGE;
    }
    kind = source->database ? open_database(source, &error) : compile(source, &error);
    if (kind == ERROR_NONE)
        return EX_OK;
    say_error("%s", error.text);
    return kind == ERROR_CONFIG ? EX_CONFIG : kind == ERROR_SYSTEM ? EX_NOINPUT : EX_DATAERR;
}

void rule_source_close(struct rule_source *source)
{
    database_unref(&source->rules);
    config_unref(&source->config);
    rulebook_free(&source->rulebook);
    buffer_release(&source->unfiltered);
}
