-- Whatever is asked for is asked for one user, newest first: so the keys of what grows begin with the user, and one index does what
-- two did. Without it, a quiet user's ledger or fees were looked for among everybody's.
--
-- The keys hold what they held before, in another order; what the projector calls a key is the first columns of a table.

ALTER TABLE coinbitclub.receipts
    DROP CONSTRAINT receipts_pkey,
    ADD PRIMARY KEY (user_id, decided_at, signal_id);
DROP INDEX coinbitclub.receipts_user_id_decided_at_idx;

ALTER TABLE coinbitclub.orders
    DROP CONSTRAINT orders_pkey,
    ADD PRIMARY KEY (user_id, decided_at, order_id);
DROP INDEX coinbitclub.orders_user_id_decided_at_idx;

ALTER TABLE coinbitclub.fills
    DROP CONSTRAINT fills_pkey,
    ADD PRIMARY KEY (user_id, at, order_id, number);
DROP INDEX coinbitclub.fills_user_id_at_idx;

-- Nothing asks by the time of closing; and a column that changes and is in an index makes every close touch all of them.
ALTER TABLE coinbitclub.positions
    DROP CONSTRAINT positions_pkey,
    ADD PRIMARY KEY (user_id, decided_at, position_id, account);
DROP INDEX coinbitclub.positions_user_id_decided_at_idx;
DROP INDEX coinbitclub.positions_user_id_closed_at_idx;

ALTER TABLE coinbitclub.fees
    DROP CONSTRAINT fees_pkey,
    ADD PRIMARY KEY (user_id, at, position_id, account);

ALTER TABLE coinbitclub.entries
    DROP CONSTRAINT entries_pkey,
    ADD PRIMARY KEY (user_id, at, number);

ALTER TABLE coinbitclub.postings
    DROP CONSTRAINT postings_pkey,
    ADD PRIMARY KEY (user_id, at, number, line);
