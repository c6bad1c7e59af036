/* The text of the book of passes: never a crash; what is taken is written and read again to the
 * same book. The compiler's report of lists, too. */
#include <assert.h>
#include <stdlib.h>

#include "admin/lists.h"
#include "admin/passbook.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void write_again(const struct passbook *book)
{
    struct buffer first = { .limit_bytes = PASSBOOK_TEXT_BYTES }, second = first;
    struct passbook *copy = passbook_new();
    struct error error;

    assert(passbook_write(book, &first));
    assert(passbook_read(copy, buffer_span(&first), &error) == ERROR_NONE);
    assert(passbook_write(copy, &second));
    assert(span_equal(buffer_span(&first), buffer_span(&second)));
    passbook_free(&copy);
    buffer_release(&first);
    buffer_release(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span text = span_of((const char *)data, size);
    struct passbook *book = passbook_new();
    static struct lists lists;
    struct error error;

    if (passbook_read(book, text, &error) == ERROR_NONE)
        write_again(book);
    else
        assert(passbook_view(book).count == 0);
    passbook_free(&book);

    lists_parse(&lists, text);
    assert(lists.count <= LISTS_MOST);
    for (size_t i = 0; i < lists.count; i++)
        assert(lists.items[i].name[0] != '\0' && strlen(lists.items[i].name) < LISTS_NAME_BYTES);
    return 0;
}
