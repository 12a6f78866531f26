"""What is shipped besides our own code: known vulnerabilities, licences, the files of the image."""
