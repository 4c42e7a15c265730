"""What published models answer when they are asked in words (`probe.few_shot` is the function, so no folder bears its
name).

``template``   how a question is put into words, and how one that is answered is shown before it
``examples``   which worked examples are shown before a question
``questions``  what is asked: an operation on every pair of operands
``reading``    the questions as a model reads them
``splits``     how a tokenizer splits the operands, and which it splits otherwise than others
``decoding``   greedy answers to a batch of prompts
``answers``    what a model has answered, from the text that it went on with
``units``      one model at one step with so many examples; the answers of finished ones on the disk
``planning``   what every checkpoint is asked, before any weights are read
``tables``     accuracy by operand, and the items that it is of
``asking``     all of it: ``probe.few_shot``
"""
